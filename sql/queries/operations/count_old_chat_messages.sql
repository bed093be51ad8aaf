-- count_old_chat_messages :one
-- Count a batch of the messages that are older than the retention period; for the cron alone, in its
-- dry run.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      messages to count; more when many were stored at the same moment
--   since           timestamptz  last_at of the previous batch; null: start with the oldest
--   now             timestamptz  the time; null: the database's clock
--
-- Returns 1 row: counted, and last_at, the time of the last message counted (null: none). Fewer than
-- batch_size: no message is left.
-- Index idx_chat_messages_created_at.
SELECT
    count(*) AS counted,
    max(expired.created_at) AS last_at
FROM (
    SELECT chat_messages.created_at
    FROM chat_messages
    WHERE
        chat_messages.created_at > coalesce(%(since)s::timestamptz, '-infinity')
        AND chat_messages.created_at
        < coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    ORDER BY chat_messages.created_at
    FETCH FIRST (%(batch_size)s::integer) ROWS WITH TIES
) AS expired;
