-- Apply the migration named by the psql variable `migration`, unless it is applied already. It builds indexes
-- CONCURRENTLY, and so cannot be one transaction. Included by migrate.sql; not run by itself.

-- One session at a time. Its wait for older transactions, which hold up nobody, may be long; a table's locks are not
-- waited for by others meanwhile.
\ir steps/wait_for_indexes.sql
SELECT set_config('lock_timeout', :'migration_timeout', FALSE) \g /dev/null
SELECT NOT EXISTS (
    SELECT FROM schema_migrations WHERE schema_migrations.name = :'migration'
) OR EXISTS (
    -- Left half built by the operator, after the migration.
    SELECT FROM pg_index
    WHERE
        pg_index.indrelid IN (to_regclass('chat_messages'), to_regclass('conversations'))
        AND NOT pg_index.indisvalid
) AS is_pending \gset

\if :is_pending
    \set file migrations/ :migration .sql
    \echo applying :migration
    \ir steps/tell_older.sql
    -- An index that an earlier try left half built costs writes, and serves no statement.
    SELECT format('DROP INDEX CONCURRENTLY %I', left_behind.relname)
    FROM pg_index
    INNER JOIN pg_class AS left_behind ON pg_index.indexrelid = left_behind.oid
    WHERE
        pg_index.indrelid IN ('chat_messages'::regclass, 'conversations'::regclass)
        AND NOT pg_index.indisvalid \gexec
    \set ERROR true
    \set ON_ERROR_STOP off
    -- psql looks at ON_ERROR_STOP at the beginning of each line: the file ends at its first error, and this does not.
    \set ON_ERROR_STOP on \\ \ir :file
    \set waits_for indexes
    \ir steps/tell_failure.sql
    \unset waits_for
    INSERT INTO schema_migrations (name) VALUES (:'migration') ON CONFLICT DO NOTHING;
\endif
SELECT pg_advisory_unlock(hashtext('parley indexes')) \g /dev/null
RESET lock_timeout;
