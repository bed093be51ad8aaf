-- Bring a database up to date. Run by psql, over the direct (not the pooled) connection:
--
--     psql "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/migrate.sql
--
-- Harmless to run again, and to run twice at once: each migration is one transaction, which first
-- takes a lock and then looks whether somebody has applied it meanwhile. A migration that fails
-- leaves nothing behind, and those after it are not tried. One that builds indexes while turns go on
-- is no transaction (apply_indexes.sql). A new migration is two lines below.

\set ON_ERROR_STOP on
\set QUIET on

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('parley migrations')) \g /dev/null
DO $$
BEGIN
    IF
        to_regclass('schema_migrations') IS NOT NULL
        AND coalesce(obj_description(to_regclass('schema_migrations'), 'pg_class'), '')
        NOT LIKE 'Parley:%'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'a table "schema_migrations" exists already that Parley did not make',
            HINT = 'No table was changed. Give Parley a schema of its own, and run this again.';
    END IF;
END
$$;
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'Parley: the migrations of sql/migrations that are applied';
COMMENT ON COLUMN schema_migrations.name IS 'Its file''s name, without .sql';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied';
COMMIT;

\set migration 001_users
\ir apply_migration.sql
\set migration 002_conversations
\ir apply_migration.sql
\set migration 003_chat_messages
\ir apply_migration.sql
\set migration 004_tasks
\ir apply_migration.sql
\set migration 005_retention
\ir apply_migration.sql
\set migration 006_turn_leases
\ir apply_migration.sql
\set migration 007_caller_role
\ir apply_migration.sql
\set migration 008_quotas
\ir apply_migration.sql
\set migration 009_accounts
\ir apply_migration.sql
\set migration 010_search
\ir apply_migration.sql
\set migration 011_search_indexes
\ir apply_indexes.sql
\set migration 012_tools
\ir apply_migration.sql
\set migration 013_mistake_index
\ir apply_indexes.sql
\set migration 014_streams
\ir apply_migration.sql
\set migration 015_retention_batches
\ir apply_migration.sql
\set migration 016_metric_counters
\ir apply_migration.sql
\set migration 017_turn_index
\ir apply_indexes.sql
\set migration 018_begin_turn
\ir apply_migration.sql
\set migration 019_finish_turn
\ir apply_migration.sql
\set migration 020_list_turn_messages
\ir apply_migration.sql
