-- If the file before this failed, take it back, say who holds the locks that it waited for, and end psql.
-- Included behind each file that may wait for a lock; without a failure it does nothing. ERROR is psql's own variable,
-- and is set to true before the file, so that a file that cannot be read counts as a failure.
--
-- psql variables
--   waits_for  tables (the default), functions, or indexes: for whom the file waits. Functions and privileges have no lock
--              that could be seen: a change waits for the transaction that has changed the same row of the catalog. The
--              build of an index waits for every older transaction, whatever it does.

\if :ERROR
    \set failure :LAST_ERROR_SQLSTATE
    \if :{?waits_for}
    \else
        \set waits_for tables
    \endif
    ROLLBACK;
    SELECT
        set_config('parley.failure', :'failure', FALSE),
        set_config('parley.waits_for', :'waits_for', FALSE) \g /dev/null
    DO $$
    DECLARE
        holders text;
        waits_for CONSTANT text := current_setting('parley.waits_for');
    BEGIN
        IF current_setting('parley.failure') = 'XX000' AND waits_for = 'functions' THEN
            RAISE EXCEPTION USING
                MESSAGE = 'the functions were not applied: another session has changed them at this moment',
                HINT = 'Run this again.';
        ELSIF current_setting('parley.failure') <> '55P03' THEN
            RAISE EXCEPTION USING
                MESSAGE = 'the file was not applied: the error is above',
                HINT = 'What came before it is applied. Mend the cause, and run this again.';
        END IF;
        SELECT
            string_agg(
                format(
                    'process %s (%s, %s), since %s: %s', holder.pid, coalesce(nullif(holder.application_name, ''), 'no name'),
                    holder.state, holder.xact_start, left(regexp_replace(holder.query, '\s+', ' ', 'g'), 80)
                ),
                '; ' ORDER BY holder.xact_start
            )
        INTO holders
        FROM (
            SELECT
                activity.pid, activity.application_name, activity.state, activity.xact_start, activity.query
            FROM pg_stat_activity AS activity
            WHERE
                activity.pid <> pg_backend_pid()
                AND activity.datname = current_database()
                AND (
                    (waits_for = 'functions' AND activity.backend_xid IS NOT NULL)
                    OR (waits_for = 'indexes' AND activity.backend_xmin IS NOT NULL)
                    OR (
                        waits_for <> 'functions'
                        AND EXISTS (
                            SELECT FROM pg_locks
                            INNER JOIN pg_class ON pg_locks.relation = pg_class.oid
                            WHERE
                                pg_locks.pid = activity.pid
                                AND pg_locks.granted
                                AND pg_locks.database = activity.datid
                                AND pg_class.relnamespace = current_schema()::regnamespace
                        )
                    )
                )
            ORDER BY activity.xact_start
            LIMIT 5
        ) AS holder;
        RAISE EXCEPTION USING
            ERRCODE = 'lock_not_available',
            MESSAGE = format(
                'the wait for a lock was too long; Parley''s %s are held by %s',
                waits_for, coalesce(holders, 'nobody any more')
            ),
            HINT = 'The file was not applied. Have that transaction end, or end it with pg_terminate_backend(its process), '
            'and run this again; -v lock_timeout=30s waits longer, with turns behind it.';
    END
    $$;
\endif
