-- If the file before this failed, take it back, say who holds the locks that it waited for, and end psql.
-- Included behind each file that may wait for a lock; without a failure it does nothing. ERROR is psql's own variable,
-- and is set to true before the file, so that a file that cannot be read counts as a failure.

\if :ERROR
    \set failure :LAST_ERROR_SQLSTATE
    ROLLBACK;
    SELECT set_config('parley.failure', :'failure', FALSE) \g /dev/null
    DO $$
    DECLARE
        holders text;
    BEGIN
        IF current_setting('parley.failure') <> '55P03' THEN
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
                AND EXISTS (
                    SELECT FROM pg_locks
                    INNER JOIN pg_class ON pg_locks.relation = pg_class.oid
                    WHERE
                        pg_locks.pid = activity.pid
                        AND pg_locks.granted
                        AND pg_locks.database = activity.datid
                        AND pg_class.relnamespace = current_schema()::regnamespace
                )
            ORDER BY activity.xact_start
            LIMIT 5
        ) AS holder;
        RAISE EXCEPTION USING
            ERRCODE = 'lock_not_available',
            MESSAGE = format(
                'the wait for a lock was too long; Parley''s tables are held by %s',
                coalesce(holders, 'nobody any more')
            ),
            HINT = 'The file was not applied. Have that transaction end, or end it with pg_terminate_backend(its process), '
            'and run this again; -v lock_timeout=30s waits longer, with turns behind it.';
    END
    $$;
\endif
