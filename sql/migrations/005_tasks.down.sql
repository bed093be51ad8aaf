-- Takes back 005 tasks. Lost: every task, but not an application's own table.

-- Each signature of this name: a later version may have made another one.
DO $$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT pg_proc.oid
        FROM pg_proc
        WHERE
            pg_proc.pronamespace = current_schema()::regnamespace
            AND pg_proc.proname IN ('delete_own_account')
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DO $$
BEGIN
    -- Only Parley's own table has this comment.
    IF obj_description(to_regclass('tasks'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE tasks;
    ELSIF to_regclass('tasks') IS NOT NULL THEN
        REVOKE ALL ON tasks FROM parley_app;
        IF pg_get_serial_sequence('tasks', 'id') IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM parley_app', pg_get_serial_sequence('tasks', 'id'));
        END IF;
    END IF;
END
$$;
