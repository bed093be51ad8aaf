-- list_turn_messages :many
-- What a turn reads, oldest first: the question, what was said before it, and its answer.
--
-- Sent after begin_turn, in the same round trip.
--
-- Parameters
--   conversation_id   uuid         which
--   user_id           text         the caller; null: anonymous
--   turn_id           uuid         token of this attempt
--   message_id        text         id of the question, unless the turn is this attempt's
--   history_messages  integer      messages wanted up to the question, system messages not counted
--   retention_days    integer      older ones are not read; 0: all are
--   now               timestamptz  null: the database's clock
--
-- Returns the columns of list_messages: at most history_messages rows up to the question, the system
-- messages before it, and its current answer if there is one.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to.
WITH
current_messages AS NOT MATERIALIZED (
    SELECT
        chat_messages.id,
        chat_messages.message_id,
        chat_messages.role,
        chat_messages.reply_to
    FROM chat_messages
    WHERE
        chat_messages.conversation_id = %(conversation_id)s::uuid
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.superseded_at IS NULL
        AND (
            %(retention_days)s::integer = 0
            OR chat_messages.created_at
            >= coalesce(%(now)s::timestamptz, now())
            - make_interval(days => %(retention_days)s::integer)
        )
),

question AS (
    SELECT current_messages.id
    FROM current_messages
    WHERE
        current_messages.role = 'user'
        AND current_messages.message_id = coalesce(
            (
                SELECT conversations.turn_message_id
                FROM conversations
                WHERE
                    conversations.id = %(conversation_id)s::uuid
                    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
                    AND (conversations.turn_id = %(turn_id)s::uuid OR %(message_id)s::text IS NULL)
            ),
            %(message_id)s::text
        )
),

wanted AS (
    (
        SELECT current_messages.id
        FROM current_messages
        WHERE
            current_messages.role <> 'system'
            AND current_messages.id <= (SELECT question.id FROM question)
        ORDER BY current_messages.id DESC
        LIMIT %(history_messages)s::integer
    )
    UNION ALL
    SELECT current_messages.id
    FROM current_messages
    WHERE
        current_messages.role = 'system'
        AND current_messages.id <= (SELECT question.id FROM question)
    UNION ALL
    SELECT current_messages.id
    FROM current_messages
    WHERE current_messages.reply_to = (SELECT question.id FROM question)
)

SELECT
    chat_messages.id,
    chat_messages.conversation_id,
    chat_messages.message_id,
    chat_messages.role,
    chat_messages.content,
    chat_messages.reply_to,
    chat_messages.finish_reason,
    chat_messages.model_name,
    chat_messages.prompt_tokens,
    chat_messages.completion_tokens,
    chat_messages.tool_calls,
    chat_messages.metadata,
    chat_messages.files,
    chat_messages.persona,
    chat_messages.tone,
    chat_messages.behavior,
    chat_messages.context_type,
    chat_messages.confidence,
    chat_messages.signal_strength,
    chat_messages.context_clarity,
    chat_messages.needs_knowledge,
    chat_messages.is_mistake,
    chat_messages.mistake_note,
    chat_messages.superseded_at,
    chat_messages.created_at,
    chat_messages.updated_at
FROM chat_messages
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.id = any(array(SELECT wanted.id FROM wanted))
ORDER BY chat_messages.id;
