-- delete_old_finished_streams :many
-- Delete a batch of streams that nobody can ask for any more, whosever they are; for the cron alone.
--
-- Parameters
--   batch_size  integer      how many at most
--   since       timestamptz  the latest ended_at of the batch before; null: from the oldest on
--   now         timestamptz  null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, ended_at; fewer than batch_size: none is left.
-- Index idx_finished_streams_ended_at.
-- From since on: it would walk over all that the batches before it have deleted.
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
