-- list_turn_messages :many
-- What a turn reads, oldest first: the question, what was said before it, and its answer.
--
-- Sent after begin_turn, in the same round trip. A function (020_list_turn_messages.sql), whose plan is kept.
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
SELECT
    listed.id,
    listed.conversation_id,
    listed.message_id,
    listed.role,
    listed.content,
    listed.created_at,
    listed.updated_at,
    listed.reply_to,
    listed.finish_reason,
    listed.model_name,
    listed.prompt_tokens,
    listed.completion_tokens,
    listed.tool_calls,
    listed.metadata,
    listed.files,
    listed.persona,
    listed.tone,
    listed.behavior,
    listed.context_type,
    listed.confidence,
    listed.signal_strength,
    listed.context_clarity,
    listed.needs_knowledge,
    listed.is_mistake,
    listed.mistake_note,
    listed.superseded_at
FROM
    list_turn_messages(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        turn_id => %(turn_id)s::uuid,
        message_id => %(message_id)s::text,
        history_messages => %(history_messages)s::integer,
        retention_days => %(retention_days)s::integer,
        now => %(now)s::timestamptz
    ) AS listed
ORDER BY listed.id;
