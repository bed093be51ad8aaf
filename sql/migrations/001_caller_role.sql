-- 001 caller role: the role parley_app, which sees the rows of one caller.
--
-- A request's statements run as parley_app, a second wall below the WHERE of each statement: row-level security
-- shows it the caller's rows and no others. The function act_as_caller changes to it for one transaction, in the
-- round trip of the statements themselves, so it works through PgBouncer in transaction mode. The owner of the tables
-- (psql, the cron) still sees all rows. Each table's migration makes its own policy; needed_privileges names what the role
-- may do, and the end of migrate.sql grants it.
--
-- Locks: none. The role is one for all databases of the server.
-- Undo: 001_caller_role.down.sql.

DO $$
BEGIN
    BEGIN
        CREATE ROLE parley_app NOLOGIN;
    EXCEPTION
        -- Another database of this server made it, perhaps at this moment; or an administrator did.
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_app') THEN
                RAISE;
            END IF;
    END;
    IF NOT pg_has_role(current_user, 'parley_app', 'MEMBER') THEN
        GRANT parley_app TO CURRENT_USER;
    END IF;
    -- Since PostgreSQL 16 the maker of a role is a member of it, but may not act as it.
    IF current_setting('server_version_num')::integer >= 160000 THEN
        IF NOT pg_has_role(current_user, 'parley_app', 'SET') THEN
            GRANT parley_app TO CURRENT_USER;
        END IF;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('the role "%s" may not make the role parley_app, or not act as it', current_user),
            HINT = format(
                'Have an administrator run this, then run the migrations again: %sGRANT parley_app TO %I;',
                CASE WHEN to_regrole('parley_app') IS NULL THEN 'CREATE ROLE parley_app NOLOGIN; ' ELSE '' END,
                current_user
            );
END
$$;
