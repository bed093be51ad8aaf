-- count_old_conversations :one
-- Count, of a batch of conversations that were not used for the retention period, those that will be empty
-- when their old messages are gone; for the cron alone, in its dry run.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      conversations to look at; more where many were last used at the same moment
--   since           timestamptz  last_at of the batch before; null: from the least recently used on
--   now             timestamptz  null: the database's clock
--
-- Returns 1 row: looked_at; counted, how many of them will be empty; and last_at, up to when (null: there
-- are none). looked_at less than batch_size: that was all.
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
