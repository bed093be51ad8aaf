-- replace_old_titles :one
-- Replace a batch of the titles that are older than the retention period by the beginning of the oldest kept
-- message; for the cron alone, when the old messages and conversations are gone.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      titles to replace at most
--   since           timestamptz  resume_at of the batch before; null: from the oldest on
--
-- Returns 1 row: replaced, the number of titles; resume_at, where the next batch begins (null: nothing is left),
-- duration_ms, the database's own time, refused, the number that rules which are not Parley's keep, and refusal, the
-- first such rule.
-- Index idx_conversations_titled_at, conversations_pkey; of chat_messages any that begins with the conversation
-- (within the function: sql/functions/replace_old_titles.sql).
SELECT
    batch.replaced,
    batch.resume_at,
    batch.duration_ms,
    batch.refused,
    batch.refusal
FROM
    replace_old_titles(
        make_interval(days => %(retention_days)s::integer),
        %(batch_size)s::integer,
        coalesce(%(since)s::timestamptz, '-infinity')
    ) AS batch;
