-- Move the sequences behind which their tables are, so that new rows come after those that are stored. Run by psql as
-- the owner of the tables, over the direct (not the pooled) connection, on the new server after a move by logical
-- replication, once nothing is replicated any more and before requests go there:
--
--     psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/sequences.sql
--
-- Reads every row of two tables once, and moves no sequence backwards. migrate.sql does the same with a look at an
-- index. Harmless to run again, and while requests are answered.

\ir steps/open.sql

BEGIN;
\ir steps/wait_for_migrations.sql
\ir steps/require_functions.sql
\set reads_all_rows true
\set ERROR true
\set ON_ERROR_STOP off
-- As in apply_migration.sql.
\set ON_ERROR_STOP on \\ \ir steps/set_sequences.sql
\set waits_for functions
\ir steps/tell_failure.sql
COMMIT;
