-- Apply the migration named by the psql variable `migration`, unless it is applied already.
-- Included by migrate.sql; not run by itself.

BEGIN;
SET LOCAL client_min_messages = warning;
-- Held to the end of the transaction: a second session waits here, and then finds the migration applied.
SELECT pg_advisory_xact_lock(hashtext('parley migrations')) \g /dev/null
-- After the lock above, which may take longer. Turns queue behind a migration that waits for a table, so it does not
-- wait long.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '10min';

SELECT NOT EXISTS (
    SELECT FROM schema_migrations WHERE schema_migrations.name = :'migration'
) AS is_pending \gset

\if :is_pending
    \set file migrations/ :migration .sql
    \echo applying :migration
    \ir :file
    INSERT INTO schema_migrations (name) VALUES (:'migration');
\endif
COMMIT;
