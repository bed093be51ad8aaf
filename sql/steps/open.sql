-- Prepare the session of migrate.sql or rollback.sql. Included by them; not run by itself.
--
-- PARLEY_SCHEMA, an environment variable, names the schema that Parley lives in; without it that is the first of the
-- session's search_path. From here on the path is that schema alone, with temporary objects last, and for this session
-- alone: `SET search_path FROM CURRENT` fixes it in each function, and no role and no other session changes.
-- psql variables: lock_timeout, the longest wait for the lock of a table ('5s'); migration_timeout, the longest wait for
-- another migration ('10min').

\set ON_ERROR_STOP on
\set QUIET on
\encoding UTF8
\set parley_schema ''
\getenv parley_schema PARLEY_SCHEMA
\if :{?lock_timeout}
\else
    \set lock_timeout 5s
\endif
\if :{?migration_timeout}
\else
    \set migration_timeout 10min
\endif

-- Of a pooler first: what a session sets would otherwise reach the clients that share its connections.
\set database_host ''
\if :{?HOST}
    \set database_host :HOST
\endif
SELECT pg_backend_pid() AS first_pid \gset
SELECT pg_backend_pid() AS second_pid \gset
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT
    set_config('parley.host', :'database_host', TRUE),
    set_config('parley.port', :'PORT', TRUE),
    set_config('parley.pids', :'first_pid' || ' ' || :'second_pid', TRUE),
    set_config('parley.schema', :'parley_schema', TRUE) \g /dev/null
\ir refuse_pooler.sql
\ir refuse_server.sql
COMMIT;

SET client_min_messages = warning;
SET standard_conforming_strings = on;
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
-- A killed psql ends what it was waiting for.
SET client_connection_check_interval = '2s';

BEGIN;
\ir wait_for_migrations.sql
SELECT
    set_config('parley.schema', :'parley_schema', TRUE),
    :'parley_schema' <> '' AND to_regnamespace(:'parley_schema') IS NULL AS lacks_schema,
    :'parley_schema' <> '' AS has_own_schema \gset
\if :lacks_schema
    CREATE SCHEMA :"parley_schema";
    COMMENT ON SCHEMA :"parley_schema" IS 'Parley: its tables and functions (PARLEY_SCHEMA)';
\endif
COMMIT;
\if :has_own_schema
    SELECT set_config('search_path', format('%I, pg_temp', :'parley_schema'), FALSE) \g /dev/null
\endif
