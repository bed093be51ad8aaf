-- 009 accounts: local accounts (LOCAL_ACCOUNTS=true), and the end of any account.
--
-- Locks: none on an existing table.
-- In an application's own `users` no local accounts are made, and no row is deleted: its rows are its own.
-- Undo: 009_accounts.down.sql.

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

            -- An earlier try of this very call may have made it.
            SELECT users.id FROM users WHERE users.id = account_id AND users.email = account_email;
        $$;
        CREATE OR REPLACE FUNCTION find_account(account_email text)
        RETURNS TABLE (id text, name text, hashed_password text, is_active boolean)
        LANGUAGE sql STABLE AS $$
            SELECT users.id, users.name, users.hashed_password, users.is_active
            FROM users
            WHERE users.email = account_email;
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
        CREATE OR REPLACE FUNCTION find_account(account_email text)
        RETURNS TABLE (id text, name text, hashed_password text, is_active boolean)
        LANGUAGE plpgsql STABLE AS $$
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
IS 'Parley: make a local account and return its id; NULL: the address has one already';
COMMENT ON FUNCTION find_account(text)
IS 'Parley: the user that an e-mail address belongs to, with the hash of its password if it is a local account';
-- They work outside of the wall, so nobody inside may call them.
REVOKE EXECUTE ON FUNCTION register_account(text, text, text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION find_account(text) FROM PUBLIC;

-- Takes nobody's id: the caller that act_as_caller has let in is the only one that it can delete.
CREATE OR REPLACE FUNCTION delete_own_account()
RETURNS void LANGUAGE PLPGSQL VOLATILE SECURITY DEFINER AS $$
DECLARE
    caller_id CONSTANT text := nullif(current_setting('parley.user_id', TRUE), '');
BEGIN
    -- An application's own `tasks` need not go with the user by themselves.
    DELETE FROM tasks WHERE tasks.user_id = caller_id;
    DELETE FROM conversations WHERE conversations.user_id = caller_id;
    DELETE FROM quotas WHERE quotas.user_id = caller_id;
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DELETE FROM users WHERE users.id = caller_id;
    END IF;
END
$$;
COMMENT ON FUNCTION delete_own_account()
IS 'Parley: delete the caller and all that is theirs; of an application''s own users, all but the row itself';

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION delete_own_account() SET search_path = %I, pg_temp', current_schema());
END
$$;

REVOKE EXECUTE ON FUNCTION delete_own_account() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_own_account() TO PARLEY_APP;
