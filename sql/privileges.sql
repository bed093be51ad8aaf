-- Give parley_app what requests need of Parley's objects, and take everything from everybody else but their owners. Run
-- by psql as their owner, over the direct (not the pooled) connection:
--
--     psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/privileges.sql
--
-- migrate.sql ends with the same. By itself it is the cure that /api/health names, after a restore without privileges
-- or a GRANT by hand. Harmless to run again, and while requests are answered.

\ir steps/open.sql

BEGIN;
\ir steps/wait_for_migrations.sql
\ir steps/require_functions.sql
\set ERROR true
\set ON_ERROR_STOP off
-- As in apply_migration.sql.
\set ON_ERROR_STOP on \\ \ir steps/set_privileges.sql
\set waits_for functions
\ir steps/tell_failure.sql
COMMIT;
