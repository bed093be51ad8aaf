-- Take back the newest migration that is applied. Run by psql, over the direct connection:
--
--     psql "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/rollback.sql
--
-- Each down file says in its first line which data is lost. It also drops the functions that name a table of the
-- migration; the migrate.sql of the version that is to run then brings back its own functions. With nothing applied,
-- nothing happens.

\set ON_ERROR_STOP on
\set QUIET on

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('parley migrations')) \g /dev/null
SET LOCAL lock_timeout = '5s';

SELECT to_regclass('schema_migrations') IS NOT NULL AS has_migrations \gset
\set newest ''
\if :has_migrations
    SELECT coalesce(max(schema_migrations.name), '') AS newest FROM schema_migrations \gset
\endif
SELECT :'newest' <> '' AS has_newest \gset

\if :has_newest
    \set file migrations/ :newest .down.sql
    \echo taking back :newest
    \ir :file
    DELETE FROM schema_migrations WHERE schema_migrations.name = :'newest';
\else
    \echo nothing to take back
\endif
COMMIT;
