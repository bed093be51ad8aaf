-- Apply the migration named by the psql variable `migration`, unless it is applied already.
-- Included by migrate.sql; not run by itself.

BEGIN;
SET LOCAL client_min_messages = warning;
-- Held to the end of the transaction: a second session waits here, and then finds the migration applied.
\ir steps/wait_for_migrations.sql

SELECT NOT EXISTS (
    SELECT FROM schema_migrations WHERE schema_migrations.name = :'migration'
) AS is_pending \gset

\if :is_pending
    \set file migrations/ :migration .sql
    \echo applying :migration
    \set ERROR true
    \set ON_ERROR_STOP off
    -- psql looks at ON_ERROR_STOP at the beginning of each line: the file ends at its first error, and this does not.
    \set ON_ERROR_STOP on \\ \ir :file
    \ir steps/tell_failure.sql
    INSERT INTO schema_migrations (name) VALUES (:'migration');
\endif
COMMIT;
