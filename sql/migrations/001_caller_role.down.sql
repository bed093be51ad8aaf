-- Takes back 001 caller role. Lost: nothing stored; the role parley_app itself, unless another database uses it.

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
            AND pg_proc.proname IN ('is_kept')
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
REVOKE ALL ON schema_migrations FROM parley_app;

DO $$
BEGIN
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM parley_app', current_schema());
END
$$;
DO $$
BEGIN
    DROP ROLE parley_app;
EXCEPTION
    -- Other databases of this server use it too; or an administrator made it.
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
END
$$;
