-- delete_old_chat_messages :one
-- Delete a batch of what is older than the retention period, whosever it is; for the cron alone.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      messages to delete at most
--   since           timestamptz  resume_at of the batch before; null: from the oldest on
--   until           timestamptz  only what was stored before; null: all that has expired
--
-- Returns 1 row: deleted, the number of messages; resume_at, where the next batch begins (null: nothing is
-- left), is_incomplete (somebody held messages that it would have deleted), duration_ms, the
-- database's own time, refused, the number that rules which are not Parley's keep, and refusal, the first such rule.
-- Index idx_chat_messages_created_at, tool_runs_pkey, idx_tool_runs_created_at (within the function:
-- sql/functions/delete_old_chat_messages.sql).
SELECT
    batch.deleted,
    batch.resume_at,
    batch.is_incomplete,
    batch.duration_ms,
    batch.refused,
    batch.refusal
FROM
    delete_old_chat_messages(
        make_interval(days => %(retention_days)s::integer),
        %(batch_size)s::integer,
        coalesce(%(since)s::timestamptz, '-infinity'),
        %(until)s::timestamptz
    ) AS batch;
