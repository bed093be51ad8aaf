-- find_conversation_summary :one
-- One conversation of the caller, with the columns of the list of conversations.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous, finds only conversations without an owner
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: the columns of list_conversations.
-- Index conversations_pkey, idx_chat_messages_conversation_order, chat_messages_pkey.
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
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz);
