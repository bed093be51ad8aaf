-- Apply the migration named by the psql variable `migration`, unless it is applied already. It builds indexes
-- CONCURRENTLY, and so cannot be one transaction. Included by migrate.sql; not run by itself.

-- One session at a time. None may wait for this lock within a statement: the session that builds an index waits for
-- all older statements, and so for the statements that wait for it.
DO $$
BEGIN
    WHILE NOT pg_try_advisory_lock(hashtext('parley indexes')) LOOP
        COMMIT;
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$$;
SELECT NOT EXISTS (
    SELECT FROM schema_migrations WHERE schema_migrations.name = :'migration'
) AS is_pending \gset

\if :is_pending
    \set file migrations/ :migration .sql
    \echo applying :migration
    -- An index that an earlier try left half built costs writes, and serves no statement.
    SELECT format('DROP INDEX CONCURRENTLY %I', left_behind.relname)
    FROM pg_index
    INNER JOIN pg_class AS left_behind ON pg_index.indexrelid = left_behind.oid
    WHERE
        pg_index.indrelid IN ('chat_messages'::regclass, 'conversations'::regclass)
        AND NOT pg_index.indisvalid \gexec
    \ir :file
    INSERT INTO schema_migrations (name) VALUES (:'migration');
\endif
SELECT pg_advisory_unlock(hashtext('parley indexes')) \g /dev/null
