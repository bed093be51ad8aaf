-- list_turn_messages :many
-- List the messages that a turn reads, oldest first, with the columns of find_message and provider_state.
--
-- The function finds them (sql/functions/list_turn_messages.sql); this puts them in order, and fetches the bytes of
-- the newest files for the model (told_files).
--
-- Parameters
--   conversation_id    uuid         the conversation
--   user_id            text         the caller; null: anonymous
--   turn_id            uuid         token of this attempt
--   message_id         text         id of the question, unless the turn is this attempt's
--   history_messages   integer      messages wanted at most up to the question, not counting system messages
--   seen_types         text[]       media types of files that providers read themselves
--   max_seen           integer      files of those types that the model gets at most
--   max_bytes          bigint       bytes of them that it gets at most
--   max_text_bytes     bigint       bytes of texts that it gets at most of one message
--   max_text_end       integer      bytes of one text that it gets at most
--   max_beginning_end  integer      the same of a message that is not among the newest
--   retention_days     integer      older messages are not read; 0: keep all
--   now                timestamptz  null: the database's clock
--
-- Returns the rows that the function returns, oldest first. In the files of a turn that is this attempt's each file has
-- its size and, if the model gets it, its bytes as a data URL.
-- Index conversations_pkey, chat_messages_pkey, uq_chat_messages_message_id, uq_chat_messages_reply_to;
-- idx_chat_messages_conversation_order: counts messages without reading them.
SELECT -- noqa: ST06
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
    -- A turn without files costs no call.
    CASE
        WHEN listed.files IS NOT NULL
            THEN
                told_files(
                    conversation_id => %(conversation_id)s::uuid,
                    user_id => %(user_id)s::text,
                    turn_id => %(turn_id)s::uuid,
                    message_row_id => listed.id,
                    files => listed.files,
                    seen_types => %(seen_types)s::text[],
                    max_seen => %(max_seen)s::integer,
                    max_bytes => %(max_bytes)s::bigint,
                    max_text_bytes => %(max_text_bytes)s::bigint,
                    max_text_end => %(max_text_end)s::integer,
                    max_beginning_end => %(max_beginning_end)s::integer
                )
    END AS files,
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
        retention_days => %(retention_days)s::integer,
        now => %(now)s::timestamptz
    ) AS listed
ORDER BY listed.id;
