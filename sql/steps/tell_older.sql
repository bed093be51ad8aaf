-- Say for which transactions the build of an index waits. Included by apply_indexes.sql, before it.
--
-- The build ends only when all transactions have ended that were there before it, whatever they do. It holds up nobody
-- meanwhile, so it waits long (migration_timeout), and could not say a word then.

DO $$
DECLARE
    older text;
BEGIN
    SELECT
        string_agg(
            format(
                'process %s (%s, %s), since %s: %s', activity.pid, coalesce(nullif(activity.application_name, ''), 'no name'),
                activity.state, activity.xact_start, left(regexp_replace(activity.query, '\s+', ' ', 'g'), 80)
            ),
            '; ' ORDER BY activity.xact_start
        )
    INTO older
    FROM (
        SELECT *
        FROM pg_stat_activity
        WHERE
            pid <> pg_backend_pid()
            AND datname = current_database()
            AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
            AND xact_start < clock_timestamp() - interval '1 second'
        ORDER BY xact_start
        LIMIT 5
    ) AS activity;
    IF older IS NOT NULL THEN
        RAISE WARNING 'the indexes are ready when these transactions have ended: %', older;
    END IF;
END
$$;
