-- delete_old_conversations :one
-- Delete a batch of the conversations that are empty and were not used for the retention period, with all
-- that belongs to them; for the cron alone, when the old messages are gone.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      conversations to delete at most
--   since           timestamptz  resume_at of the batch before; null: from the least recently used on
--
-- Returns 1 row: deleted, the number of conversations; resume_at, where the next batch begins (null: nothing
-- is left), duration_ms, the database's own time, refused, the number that rules which are not Parley's keep, and
-- refusal, the first such rule.
-- Index idx_conversations_updated_at, conversations_pkey; of chat_messages any that begins with the conversation
-- (within the function: sql/functions/delete_old_conversations.sql).
SELECT
    batch.deleted,
    batch.resume_at,
    batch.duration_ms,
    batch.refused,
    batch.refusal
FROM
    delete_old_conversations(
        make_interval(days => %(retention_days)s::integer),
        %(batch_size)s::integer,
        coalesce(%(since)s::timestamptz, '-infinity')
    ) AS batch;
