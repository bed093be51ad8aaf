-- delete_old_known_networks :many
-- Delete a batch of networks from which no log-in succeeded for long; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   known_days  integer      days for which a network stays known
--   since       timestamptz  the latest used_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: subject, used_at; fewer than batch_size: none is left.
-- Index idx_known_networks_used_at, known_networks_pkey.
DELETE FROM known_networks
WHERE
    -- Again: it may have been used by now.
    known_networks.used_at < coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(known_days)s::integer)
    AND known_networks.subject = any(array(
        SELECT unused.subject
        FROM known_networks AS unused
        WHERE
            unused.used_at >= coalesce(%(since)s::timestamptz, '-infinity')
            AND unused.used_at
            < coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(known_days)s::integer)
        ORDER BY unused.used_at
        LIMIT %(batch_size)s::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING known_networks.subject, known_networks.used_at;
