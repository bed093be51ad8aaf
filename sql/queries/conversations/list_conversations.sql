-- list_conversations :many
-- One page of the caller's conversations, most recently used first.
--
-- Parameters
--   user_id            text         the caller; an anonymous caller has no list
--   status             text         'active', 'archived', or 'all'
--   retention_days     integer      older rows are not shown; 0: no limit
--   cursor_updated_at  timestamptz  updated_at of the last row seen; null: first page
--   cursor_id          uuid         id of that row; null: first page
--   page_size          integer      rows wanted, 1 to 200
--   now                timestamptz  the time; null: the database's clock
--
-- Returns 0 to page_size rows: id, title (null: none, or it has expired), status, created_at, updated_at,
-- message_count, and last_message, its first 120 characters (null: no message is left).
-- Index idx_conversations_user_recent: gives the order, so there is no sort;
-- idx_chat_messages_conversation_order: counts messages without reading them; chat_messages_pkey.
-- A row comparison is an index condition in every plan; `cursor IS NULL OR ...` only in custom plans.
SELECT
    conversations.id,
    shown.title,
    conversations.status,
    conversations.created_at,
    conversations.updated_at,
    counted.message_count,
    left(last_message.content, 120) AS last_message
FROM conversations
CROSS JOIN
    LATERAL (
        VALUES (
            CASE
                WHEN is_kept(conversations.titled_at, %(retention_days)s::integer, %(now)s::timestamptz)
                    THEN conversations.title
            END
        )
    ) AS shown (title)
CROSS JOIN
    LATERAL (
        SELECT count(*)::integer AS message_count
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = conversations.id
            AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
            AND chat_messages.superseded_at IS NULL
            AND chat_messages.role <> 'system'
            AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    ) AS counted
LEFT JOIN LATERAL (
    SELECT chat_messages.id
    FROM chat_messages
    WHERE
        chat_messages.conversation_id = conversations.id
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.superseded_at IS NULL
        AND chat_messages.role <> 'system'
        AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    ORDER BY chat_messages.id DESC
    LIMIT 1
) AS newest ON TRUE
LEFT JOIN chat_messages AS last_message
    ON
        conversations.id = last_message.conversation_id
        AND newest.id = last_message.id
        AND last_message.user_id IS NOT DISTINCT FROM %(user_id)s::text
WHERE
    conversations.user_id = %(user_id)s::text
    AND (%(status)s::text = 'all' OR conversations.status = %(status)s::text)
    AND (conversations.updated_at, conversations.id) < (
        coalesce(%(cursor_updated_at)s::timestamptz, 'infinity'),
        coalesce(%(cursor_id)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
ORDER BY conversations.updated_at DESC, conversations.id DESC
LIMIT %(page_size)s::integer;
