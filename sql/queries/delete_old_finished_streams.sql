-- delete_old_finished_streams :many
-- Delete a batch of streams that nobody can ask for any more, whosever they are; for the cron alone.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   now         timestamptz  null: the database's clock
--
-- Returns 0 or more rows: conversation_id; fewer than batch_size: nothing is left.
-- Index idx_finished_streams_ended_at.
DELETE FROM finished_streams
WHERE
    finished_streams.ctid = any(
        array(
            SELECT ended.ctid
            FROM finished_streams AS ended
            WHERE ended.ended_at < coalesce(%(now)s::timestamptz, now()) - interval '1 minute'
            ORDER BY ended.ended_at
            LIMIT %(batch_size)s::integer
            FOR UPDATE SKIP LOCKED
        )
    )
RETURNING finished_streams.conversation_id;
