-- Take back the newest migration that is applied. Run by psql, over the direct connection:
--
--     psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/rollback.sql
--
-- Each down file says in its first line which data is lost. It also drops the functions that name a table of the
-- migration; the migrate.sql of the version that is to run then brings back its own functions. With nothing applied,
-- nothing happens.

\ir steps/open.sql
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), FALSE) \g /dev/null

BEGIN;
\ir steps/wait_for_migrations.sql

SELECT to_regclass('schema_migrations') IS NOT NULL AS has_migrations \gset
\set newest ''
\if :has_migrations
    SELECT coalesce(max(schema_migrations.name), '') AS newest FROM schema_migrations \gset
\endif
SELECT :'newest' <> '' AS has_newest \gset

\if :has_newest
    \set file migrations/ :newest .down.sql
    \echo taking back :newest
    \set ERROR true
    \set ON_ERROR_STOP off
    -- psql looks at ON_ERROR_STOP at the beginning of each line: the file ends at its first error, and this does not.
    \set ON_ERROR_STOP on \\ \ir :file
    \ir steps/tell_failure.sql
    DELETE FROM schema_migrations WHERE schema_migrations.name = :'newest';
\else
    \echo nothing to take back
\endif
COMMIT;
