-- find_conversation_summary :one
-- One conversation of the caller, with the columns of the list of conversations, its instructions, and its summary.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous, finds only conversations without an owner
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: the columns of list_conversations; instructions; and summary, the newest one of the messages that
-- have left the window, an object of content, through_message_id (the last message that it tells), created_at and model
-- (null: there is none).
-- Index conversations_pkey, conversation_summaries_pkey; of chat_messages any that begins with the conversation.
SELECT -- noqa: ST06
    conversations.id,
    shown.title,
    conversations.status,
    conversations.created_at,
    conversations.updated_at,
    conversations.model,
    CASE
        WHEN known.is_counted THEN conversations.message_count
        ELSE (
            SELECT count(*)::integer
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = conversations.id
                AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND chat_messages.superseded_at IS NULL
                AND chat_messages.role <> 'system'
                AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
        )
    END AS message_count,
    CASE
        WHEN known.is_counted THEN conversations.last_message
        ELSE (
            SELECT left(chat_messages.content, 120)
            FROM chat_messages
            WHERE
                chat_messages.conversation_id = conversations.id
                AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                -- CASE: see the policy own_conversations.
                AND CASE
                    WHEN chat_messages.superseded_at IS NULL AND chat_messages.role <> 'system'
                        THEN is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
                END
            ORDER BY chat_messages.id DESC
            LIMIT 1
        )
    END AS last_message,
    conversations.instructions,
    (
        SELECT
            jsonb_build_object(
                'content', conversation_summaries.content,
                'through_message_id', (
                    SELECT chat_messages.message_id
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = conversations.id
                        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                        AND chat_messages.id <= conversation_summaries.through_id
                        AND chat_messages.superseded_at IS NULL
                        AND chat_messages.role <> 'system'
                    ORDER BY chat_messages.id DESC
                    LIMIT 1
                ),
                'created_at', to_char(
                    conversation_summaries.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'
                ),
                'model', conversation_summaries.model
            )
        FROM conversation_summaries
        WHERE
            conversation_summaries.conversation_id = conversations.id
            AND conversation_summaries.user_id IS NOT DISTINCT FROM %(user_id)s::text
            AND conversation_summaries.content IS NOT NULL
            AND is_kept(conversation_summaries.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
        ORDER BY conversation_summaries.through_id DESC
        LIMIT 1
    ) AS summary
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
        VALUES (
            conversations.message_count IS NOT NULL
            AND is_kept(conversations.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
        )
    ) AS known (is_counted)
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz);
