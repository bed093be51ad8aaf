-- delete_old_deleted_users :many
-- Delete a batch of marks of deleted users whose time is over; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   since       timestamptz  the latest ends_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: id_hash, ends_at; fewer than batch_size: no row is left.
-- Index idx_deleted_users_ends_at, deleted_users_pkey.
-- Starts at `since`, because a scan from the oldest entry would walk over everything that previous batches deleted.
DELETE FROM deleted_users
WHERE
    -- Again: the user may have been deleted once more by now.
    deleted_users.ends_at < coalesce(%(now)s::timestamptz, now())
    AND deleted_users.id_hash = any(array(
        SELECT ended.id_hash
        FROM deleted_users AS ended
        WHERE
            ended.ends_at >= coalesce(%(since)s::timestamptz, '-infinity')
            AND ended.ends_at < coalesce(%(now)s::timestamptz, now())
        ORDER BY ended.ends_at
        LIMIT %(batch_size)s::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING deleted_users.id_hash, deleted_users.ends_at;
