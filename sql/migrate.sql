-- Bring a database up to date. Run by psql, over the direct (not the pooled) connection:
--
--     psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/migrate.sql
--
-- Harmless to run again, and to run twice at once: each migration is one transaction, which first takes a lock
-- and then checks whether another session has applied it. A migration that fails leaves nothing behind, and those
-- after it are not tried. Only a migration that builds indexes while turns go on is no transaction
-- (apply_indexes.sql). A new migration is two lines below.
--
-- Functions are not migrations: sql/functions has each of them once, as it is now, and all of them are applied here
-- after the migrations, every time, in one transaction. To change a function, edit its file.
--
-- Code of the version before calls a function while and after it is replaced, so a function keeps its signature.
-- New parameters make a second function of the same name beside the first; without DEFAULT, so that no call fits
-- both. New result columns need a new name. A migration of the version after drops the first.
--
-- Order: alphabetical. A body in plpgsql is looked up when it runs, so functions may call each other. A body in SQL is
-- looked up when the function is made, so it uses tables only. A function that an index, a policy, a CHECK or a
-- trigger uses is made by the migration of that table instead: stored entries depend on its body.

\ir steps/open.sql

BEGIN;
\ir steps/wait_for_migrations.sql
\ir check_database.sql
-- Without PARLEY_SCHEMA, too: that no table elsewhere in the path was meant, check_database.sql has made sure of.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), FALSE) \g /dev/null
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'Parley: the migrations of sql/migrations that are applied';
COMMENT ON COLUMN schema_migrations.name IS 'Its file''s name, without .sql';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied';
COMMIT;

\set migration 001_caller_role
\ir apply_migration.sql
\set migration 002_users
\ir apply_migration.sql
\set migration 003_conversations
\ir apply_migration.sql
\set migration 004_chat_messages
\ir apply_migration.sql
\set migration 005_tasks
\ir apply_migration.sql
\set migration 006_quotas
\ir apply_migration.sql
\set migration 007_tool_runs
\ir apply_migration.sql
\set migration 008_streams
\ir apply_migration.sql
\set migration 009_metric_counters
\ir apply_migration.sql
\set migration 010_search
\ir apply_indexes.sql
\set migration 011_files
\ir apply_migration.sql

-- The functions, unless a later version's migration is applied: then its functions stay. (Of two versions with the
-- same migrations, the one that migrates last sets the functions.)
BEGIN;
\ir steps/wait_for_migrations.sql

SELECT NOT EXISTS (
    SELECT FROM schema_migrations WHERE schema_migrations.name > :'migration'
) AS is_newest \gset

\if :is_newest
    \ir functions/act_as_caller.sql
    \ir functions/begin_turn.sql
    \ir functions/change_password.sql
    \ir functions/count_account_attempt.sql
    \ir functions/count_bytes.sql
    \ir functions/count_guess.sql
    \ir functions/count_tokens.sql
    \ir functions/count_use.sql
    \ir functions/decide_turn.sql
    \ir functions/delete_old_chat_messages.sql
    \ir functions/delete_old_conversations.sql
    \ir functions/delete_own_account.sql
    \ir functions/erase_conversation.sql
    \ir functions/find_account.sql
    \ir functions/finish_log_in.sql
    \ir functions/finish_turn.sql
    \ir functions/is_kept.sql
    \ir functions/list_conversations.sql
    \ir functions/list_faults.sql
    \ir functions/list_late_sequences.sql
    \ir functions/list_privilege_faults.sql
    \ir functions/list_slow_statements.sql
    \ir functions/list_tool_runs.sql
    \ir functions/list_turn_messages.sql
    \ir functions/needed_privileges.sql
    \ir functions/own_quota.sql
    \ir functions/own_user.sql
    \ir functions/reach_conversation.sql
    \ir functions/read_history.sql
    \ir functions/register_account.sql
    \ir functions/remember_user.sql
    \ir functions/replace_old_titles.sql
    \ir functions/reserve_message_ids.sql
    \ir functions/search_conversations.sql
    \ir functions/search_excerpt.sql
    \ir functions/search_query.sql
    \ir functions/sign_out_everywhere.sql
    \ir functions/store_import.sql
    \ir functions/store_message_files.sql
    \ir functions/store_stream_batches.sql
    \ir functions/told_files.sql
    \ir functions/user_state.sql
    -- Each time, whatever has changed them since: a default, a restore, a move by replication, a GRANT by hand.
    \ir steps/set_privileges.sql
    \set reads_all_rows false
    \ir steps/set_sequences.sql
\else
    \echo leaving the functions as they are: a later version has migrated this database
\endif
COMMIT;
