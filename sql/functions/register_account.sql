-- register_account
-- Makes a local account, unless the address has an account of any kind.
--
-- It does not tell which: a taken address costs the same work and returns the same. An application's own `users` table
-- keeps its own accounts, and may lack the columns: there it raises PA003.
--
-- Parameters
--   account_id     text  id of the new user; a repeated call sends the same
--   account_email  text  address in small letters
--   account_name   text  null: none
--   password_hash  text  bcrypt
--
-- Index ix_users_email.
DO $create$
BEGIN
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        CREATE OR REPLACE FUNCTION register_account(
            account_id text, account_email text, account_name text, password_hash text
        )
        RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
            -- A taken address is written as it is: the write waits for the disk as long as that of a new account, and
            -- DO NOTHING would not.
            INSERT INTO users (id, email, name, hashed_password)
            VALUES (account_id, account_email, account_name, password_hash)
            ON CONFLICT (email) DO UPDATE SET email = excluded.email;
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION register_account(
            account_id text, account_email text, account_name text, password_hash text
        )
        RETURNS void LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
        BEGIN
            RAISE EXCEPTION USING
                ERRCODE = 'PA003',
                MESSAGE = 'the table "users" is the application''s own, which keeps its own accounts';
        END
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION register_account(text, text, text, text)
IS 'Parley: makes a local account, unless the address has one; does not tell which';
