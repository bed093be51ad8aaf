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
                'is_active_user',
                'own_user',
                'remember_user',
                'register_account',
                'find_account'
            )
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;

DO $$
BEGIN
    -- Only Parley's own table has this comment.
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE users;
    END IF;
END
$$;
