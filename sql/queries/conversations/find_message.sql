-- find_message :one
-- One message of a conversation of the caller.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   message_id       text         the message's id, as clients see it
--   retention_days   integer      older rows are not there; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: the columns of chat_messages but user_id and provider_state.
-- Index uq_chat_messages_message_id.
SELECT
    chat_messages.id,
    chat_messages.conversation_id,
    chat_messages.message_id,
    chat_messages.role,
    chat_messages.content,
    chat_messages.created_at,
    chat_messages.updated_at,
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
    chat_messages.refusal,
    chat_messages.steps,
    chat_messages.reasoning_tokens,
    chat_messages.reasoning_seconds,
    chat_messages.model,
    chat_messages.requested_model,
    chat_messages.cached_tokens
FROM chat_messages
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.message_id = %(message_id)s::text
    AND chat_messages.superseded_at IS NULL
    AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz);
