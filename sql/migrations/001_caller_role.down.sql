-- Takes back 001 caller role. Lost: nothing stored; the role parley_app itself, unless another database uses it.

DROP FUNCTION IF EXISTS is_kept;
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
