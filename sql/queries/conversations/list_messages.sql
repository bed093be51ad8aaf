-- list_messages :many
-- One page of a conversation of the caller, newest first (the caller of the statement reverses it).
--
-- Parameters
--   conversation_id     uuid         the conversation
--   user_id             text         the caller; null: anonymous
--   include_superseded  boolean      true: replaced messages too
--   include_system      boolean      true: system messages too
--   retention_days      integer      older rows are not shown; 0: no limit
--   cursor_id           bigint       chat_messages.id of the oldest row seen; null: first page
--   page_size           integer      rows wanted, 1 to 200
--   now                 timestamptz  the time; null: the database's clock
--
-- Returns 0 to page_size rows: the columns of chat_messages but user_id and provider_state.
-- Index idx_chat_messages_conversation_order: gives the page in order without reading messages, so the
-- longest conversation costs no more than a short one; chat_messages_pkey: the messages of the page.
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
    chat_messages.reasoning_seconds
FROM chat_messages
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.id = any(array(
        SELECT page.id
        FROM chat_messages AS page
        WHERE
            page.conversation_id = %(conversation_id)s::uuid
            AND page.user_id IS NOT DISTINCT FROM %(user_id)s::text
            AND page.id < coalesce(%(cursor_id)s::bigint, 9223372036854775807)
            AND (%(include_superseded)s::boolean OR page.superseded_at IS NULL)
            AND (%(include_system)s::boolean OR page.role <> 'system')
            AND is_kept(page.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
        ORDER BY page.id DESC
        LIMIT %(page_size)s::integer
    ))
ORDER BY chat_messages.id DESC;
