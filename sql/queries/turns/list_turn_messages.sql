-- list_turn_messages :many
-- List the messages that a turn reads, oldest first, with the columns of find_message and provider_state.
--
-- The function lists them, in their order.
-- Parameters, result and indexes: sql/functions/list_turn_messages.sql.
SELECT -- noqa: ST06
    listed.id,
    %(conversation_id)s::uuid AS conversation_id,
    listed.listed_message_id AS message_id,
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
    listed.superseded_at,
    listed.refusal,
    listed.steps,
    listed.reasoning_tokens,
    listed.reasoning_seconds,
    listed.provider_state
FROM
    list_turn_messages(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        turn_id => %(turn_id)s::uuid,
        message_id => %(message_id)s::text,
        history_messages => %(history_messages)s::integer,
        seen_types => %(seen_types)s::text[],
        max_seen => %(max_seen)s::integer,
        max_bytes => %(max_bytes)s::bigint,
        max_text_bytes => %(max_text_bytes)s::bigint,
        max_text_end => %(max_text_end)s::integer,
        max_beginning_end => %(max_beginning_end)s::integer,
        retention_days => %(retention_days)s::integer,
        now => %(now)s::timestamptz
    ) AS listed;
