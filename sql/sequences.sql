-- Move the sequences behind which their tables are, so that new rows come after those that are stored. Run by psql as
-- the owner of the tables, over the direct (not the pooled) connection, on the new server after a move by logical
-- replication, once nothing is replicated any more and before requests go there:
--
--     psql "$DATABASE_URL_UNPOOLED" -X -v ON_ERROR_STOP=1 -f sql/sequences.sql
--
-- Reads every row of two tables once, and moves no sequence backwards. migrate.sql does the same with a look at an
-- index. Harmless to run again, and while requests are answered.

\set ON_ERROR_STOP on
\set QUIET on

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('parley migrations')) \g /dev/null
SET LOCAL lock_timeout = '5s';
\ir steps/require_functions.sql
\set reads_all_rows true
\ir steps/set_sequences.sql
COMMIT;
