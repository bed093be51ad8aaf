-- delete_old_quotas :many
-- Delete a batch of the counters that count nothing any more; for the cron alone.
--
-- Parameters
--   batch_size  integer      how many at most
--   now         timestamptz  null: the database's clock
--
-- Returns 0 to batch_size rows: subject; fewer than batch_size: none is left.
-- Index idx_quotas_day_ends_at, quotas_pkey.
DELETE FROM quotas
WHERE
    -- Again: it may have begun another day by now.
    quotas.day_ends_at < coalesce(%(now)s::timestamptz, now())
    AND quotas.subject = any(array(
        SELECT ended.subject
        FROM quotas AS ended
        WHERE ended.day_ends_at < coalesce(%(now)s::timestamptz, now())
        LIMIT %(batch_size)s::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING quotas.subject;
