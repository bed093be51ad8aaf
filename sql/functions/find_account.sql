-- find_account
-- Finds the user of an e-mail address, for the log-in alone.
--
-- An application's own `users` table keeps its own accounts, and may lack the columns: there it raises PA003.
--
-- Parameters
--   account_email  text  address in small letters
--
-- Returns 0 or 1 row: id, name, hashed_password (null: not a local account), is_active, created_at.
-- Index ix_users_email.
DO $create$
BEGIN
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        CREATE OR REPLACE FUNCTION find_account(account_email text)
        RETURNS TABLE (id text, name text, hashed_password text, is_active boolean, created_at timestamptz)
        LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
            SELECT users.id, users.name, users.hashed_password, users.is_active, users.created_at
            FROM users
            WHERE users.email = account_email;
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION find_account(account_email text)
        RETURNS TABLE (id text, name text, hashed_password text, is_active boolean, created_at timestamptz)
        LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
        BEGIN
            RAISE EXCEPTION USING
                ERRCODE = 'PA003',
                MESSAGE = 'the table "users" is the application''s own, which keeps its own accounts';
        END
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION find_account(text)
IS 'Parley: the user of an e-mail address, with the hash of its password if it is a local account';
