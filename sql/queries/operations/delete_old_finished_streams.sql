-- delete_old_finished_streams :many
-- Delete a batch of expired streams, of all callers; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   since       timestamptz  the latest ended_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, ended_at; fewer than batch_size: no stream is left.
-- Index idx_finished_streams_ended_at.
-- Starts at `since`, because a scan from the oldest entry would walk over everything that previous batches deleted.
DELETE FROM finished_streams
WHERE
    finished_streams.ctid = any(
        array(
            SELECT ended.ctid
            FROM finished_streams AS ended
            WHERE
                ended.ended_at >= coalesce(%(since)s::timestamptz, '-infinity')
                AND ended.ended_at < coalesce(%(now)s::timestamptz, now()) - interval '1 minute'
            ORDER BY ended.ended_at
            LIMIT %(batch_size)s::integer
            FOR UPDATE SKIP LOCKED
        )
    )
RETURNING finished_streams.conversation_id, finished_streams.ended_at;
