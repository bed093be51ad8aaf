-- register_account
-- Makes a local account.
--
-- An application's own `users` table keeps its own accounts, and may lack the columns: there it raises PA003.
--
-- Parameters
--   account_id     text  id of the new user; a repeated call sends the same
--   account_email  text  address in small letters
--   account_name   text  null: none
--   password_hash  text  bcrypt
--
-- Returns the id; null: the address has an account already.
-- Index ix_users_email.
DO $create$
BEGIN
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        CREATE OR REPLACE FUNCTION register_account(
            account_id text, account_email text, account_name text, password_hash text
        )
        RETURNS text LANGUAGE sql VOLATILE AS $$
            INSERT INTO users (id, email, name, hashed_password)
            VALUES (account_id, account_email, account_name, password_hash)
            ON CONFLICT DO NOTHING;

            -- Also where an earlier try of this call has made it.
            SELECT users.id FROM users WHERE users.id = account_id AND users.email = account_email;
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION register_account(
            account_id text, account_email text, account_name text, password_hash text
        )
        RETURNS text LANGUAGE plpgsql VOLATILE AS $$
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
IS 'Parley: makes a local account and returns its id; NULL: the address has one already';
-- Called outside the wall, before there is a caller.
REVOKE EXECUTE ON FUNCTION register_account(text, text, text, text) FROM public;
