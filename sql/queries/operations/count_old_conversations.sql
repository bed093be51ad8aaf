-- count_old_conversations :one
-- Count the conversations in a batch that will be empty when their old messages are deleted; for the cron
-- alone, in its dry run. The batch holds conversations that were not used for the retention period.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      conversations to look at; more when many were last used at the same moment
--   since           timestamptz  last_at of the previous batch; null: start with the least recently used
--   now             timestamptz  the time; null: the database's clock
--
-- Returns 1 row: looked_at; counted, the conversations that will be empty; and last_at, the last use of the
-- last one (null: none). looked_at less than batch_size: no conversation is left.
-- Index idx_conversations_updated_at, idx_chat_messages_conversation_created.
SELECT
    count(*) AS looked_at,
    count(*) FILTER (WHERE unused.newest_id IS NULL) AS counted,
    max(unused.updated_at) AS last_at
FROM (
    SELECT
        conversations.updated_at,
        (
            SELECT chat_messages.id
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = conversations.id
                AND chat_messages.created_at
                >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
            ORDER BY chat_messages.created_at DESC
            LIMIT 1
        ) AS newest_id
    FROM conversations
    WHERE
        conversations.updated_at > coalesce(%(since)s::timestamptz, '-infinity')
        AND conversations.updated_at
        < coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    ORDER BY conversations.updated_at
    FETCH FIRST (%(batch_size)s::integer) ROWS WITH TIES
) AS unused;
