-- count_old_titles :one
-- Count the titles in a batch that a clean-up would replace; for the cron alone, in its dry run. A conversation that
-- the clean-up would delete has no title to replace.
--
-- Parameters
--   retention_days  integer      at least 1
--   batch_size      integer      titles to look at; more when many are of the same moment
--   since           timestamptz  last_at of the previous batch; null: start with the oldest
--   now             timestamptz  the time; null: the database's clock
--
-- Returns 1 row: looked_at; counted, the titles that would be replaced; and last_at, the time of the last title
-- (null: none). looked_at less than batch_size: no title is left.
-- Index idx_conversations_titled_at, idx_chat_messages_conversation_created.
SELECT
    count(*) AS looked_at,
    count(*) FILTER (WHERE expired.is_used OR expired.newest_id IS NOT NULL) AS counted,
    max(expired.titled_at) AS last_at
FROM (
    SELECT
        conversations.titled_at,
        conversations.updated_at
        >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer) AS is_used,
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
        conversations.title IS NOT NULL
        AND conversations.titled_at > coalesce(%(since)s::timestamptz, '-infinity')
        AND conversations.titled_at
        < coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    ORDER BY conversations.titled_at
    FETCH FIRST (%(batch_size)s::integer) ROWS WITH TIES
) AS expired;
