-- list_turn_messages
-- Lists the messages that a turn reads: the question, the messages before it, and its answer.
--
-- Called after begin_turn, in the same round trip. A function, because its plan is kept.
--
-- The window of messages moves in blocks of half its size: between two moves, a request to the model begins with the
-- bytes of the last one, which providers bill at a tenth to a fiftieth. So it holds half of history_messages or more.
--
-- Parameters
--   conversation_id   uuid         the conversation
--   user_id           text         the caller; null: anonymous
--   turn_id           uuid         token of this attempt
--   message_id        text         id of the question, unless the turn is this attempt's
--   history_messages  integer      messages wanted at most up to the question, not counting system messages
--   retention_days    integer      older messages are not read; 0: keep all
--   now               timestamptz  null: the database's clock
--
-- Returns at most history_messages rows of chat_messages up to the question, the system messages before it, and
-- its current answer if there is one; in no order.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to;
-- idx_chat_messages_conversation_order: counts messages without reading them.
CREATE OR REPLACE FUNCTION list_turn_messages(
    conversation_id uuid,
    user_id text,
    turn_id uuid,
    message_id text,
    history_messages integer,
    retention_days integer,
    now timestamptz
)
RETURNS SETOF chat_messages
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH
    current_messages AS NOT MATERIALIZED (
        SELECT
            chat_messages.id,
            chat_messages.message_id,
            chat_messages.role,
            chat_messages.reply_to
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = list_turn_messages.conversation_id
            AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
            AND chat_messages.superseded_at IS NULL
            AND is_kept(chat_messages.created_at, list_turn_messages.retention_days, list_turn_messages.now)
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
                        conversations.id = list_turn_messages.conversation_id
                        AND conversations.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
                        AND (
                            conversations.turn_id = list_turn_messages.turn_id
                            OR list_turn_messages.message_id IS NULL
                        )
                ),
                list_turn_messages.message_id
            )
    ),

    -- Read once, from the index alone: to count, and to choose.
    past_messages AS MATERIALIZED (
        SELECT
            current_messages.id,
            current_messages.role
        FROM current_messages
        WHERE current_messages.id <= (SELECT question.id FROM question)
    ),

    -- How many messages that may be told there are, and by how many at a time the window moves.
    conversation AS (
        SELECT
            count(*) AS message_count,
            (list_turn_messages.history_messages + 1) / 2 AS block_size
        FROM past_messages
        WHERE past_messages.role <> 'system'
    ),

    -- The messages before the window are whole blocks: the fewest that leave history_messages or less.
    history AS (
        SELECT
            conversation.message_count - conversation.block_size * greatest(
                (conversation.message_count - list_turn_messages.history_messages + conversation.block_size - 1)
                / conversation.block_size,
                0
            ) AS message_count
        FROM conversation
    ),

    wanted AS (
        (
            SELECT past_messages.id
            FROM past_messages
            WHERE past_messages.role <> 'system'
            ORDER BY past_messages.id DESC
            LIMIT (SELECT history.message_count FROM history)
        )
        UNION ALL
        SELECT past_messages.id
        FROM past_messages
        WHERE past_messages.role = 'system'
        UNION ALL
        SELECT current_messages.id
        FROM current_messages
        WHERE current_messages.reply_to = (SELECT question.id FROM question)
    )

    SELECT chat_messages.*
    FROM chat_messages
    WHERE
        chat_messages.conversation_id = list_turn_messages.conversation_id
        AND chat_messages.user_id IS NOT DISTINCT FROM list_turn_messages.user_id
        AND chat_messages.id = any(array(SELECT wanted.id FROM wanted));
END
$$;
COMMENT ON FUNCTION list_turn_messages(
    uuid, text, uuid, text, integer, integer, timestamptz
)
IS 'Parley: the messages that a turn reads';
REVOKE EXECUTE ON FUNCTION list_turn_messages(
    uuid, text, uuid, text, integer, integer, timestamptz
) FROM public;
GRANT EXECUTE ON FUNCTION list_turn_messages(
    uuid, text, uuid, text, integer, integer, timestamptz
) TO parley_app;
