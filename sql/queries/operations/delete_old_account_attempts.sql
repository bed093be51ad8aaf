-- delete_old_account_attempts :many
-- Delete a batch of counters of attempts whose day is over; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   since       timestamptz  the latest ends_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: subject, ends_at; fewer than batch_size: no counter is left.
-- Index idx_account_attempts_ends_at, account_attempts_pkey.
-- Starts at `since`, because a scan from the oldest entry would walk over everything that previous batches deleted.
DELETE FROM account_attempts
WHERE
    -- Again: it may have begun another day by now.
    account_attempts.ends_at < coalesce(%(now)s::timestamptz, now())
    AND account_attempts.subject = any(array(
        SELECT ended.subject
        FROM account_attempts AS ended
        WHERE
            ended.ends_at >= coalesce(%(since)s::timestamptz, '-infinity')
            AND ended.ends_at < coalesce(%(now)s::timestamptz, now())
        ORDER BY ended.ends_at
        LIMIT %(batch_size)s::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING account_attempts.subject, account_attempts.ends_at;
