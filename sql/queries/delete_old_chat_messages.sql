-- delete_old_chat_messages :one
-- Delete a batch of what is older than the retention period, whosever it is; for the cron alone.
--
-- Parameters
--   retention_days  integer  at least 1
--   batch_size      integer  messages to delete at most
--
-- Returns 1 row: deleted, the number of messages; fewer than batch_size: nothing is left.
-- Index idx_chat_messages_created_at, idx_conversations_updated_at (in 005_retention.sql).
SELECT delete_old_chat_messages(
    make_interval(days => %(retention_days)s::integer), %(batch_size)s::integer
) AS deleted;
