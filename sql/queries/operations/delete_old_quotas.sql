-- delete_old_quotas :many
-- Delete a batch of quota counters whose day is over; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   since       timestamptz  the latest day_ends_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: subject, day_ends_at; fewer than batch_size: no counter is left.
-- Index idx_quotas_day_ends_at, quotas_pkey.
-- Starts at `since`, because a scan from the oldest entry would walk over everything that previous batches deleted.
DELETE FROM quotas
WHERE
    -- Again: it may have begun another day by now.
    quotas.day_ends_at < coalesce(%(now)s::timestamptz, now())
    AND quotas.subject = any(array(
        SELECT ended.subject
        FROM quotas AS ended
        WHERE
            ended.day_ends_at >= coalesce(%(since)s::timestamptz, '-infinity')
            AND ended.day_ends_at < coalesce(%(now)s::timestamptz, now())
        ORDER BY ended.day_ends_at
        LIMIT %(batch_size)s::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING quotas.subject, quotas.day_ends_at;
