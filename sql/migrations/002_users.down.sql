-- Takes back 002 users. Lost: every user and local account, but not an application's own table.

-- Each signature of these names: a later version may have made another one.
DO $$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT pg_proc.oid
        FROM pg_proc
        WHERE
            pg_proc.pronamespace = current_schema()::regnamespace
            AND pg_proc.proname IN (
                'act_as_caller',
                'change_password',
                'count_account_attempt',
                'find_account',
                'finish_log_in',
                'own_user',
                'register_account',
                'remember_user',
                'sign_out_everywhere',
                'user_state'
            )
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;

DROP TABLE IF EXISTS deleted_users;
DROP TABLE IF EXISTS user_settings;
DROP TABLE IF EXISTS known_networks;
DROP TABLE IF EXISTS account_attempts;

DO $$
BEGIN
    -- Only Parley's own table has this comment.
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE users;
    END IF;
END
$$;

DROP FUNCTION IF EXISTS remember_deleted_users();
