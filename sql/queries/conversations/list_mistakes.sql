-- list_mistakes :many
-- One page of the answers that the caller has marked as mistakes, newest first, each with its question.
--
-- Parameters
--   user_id            text         the caller
--   retention_days     integer      older rows are not shown; 0: no limit
--   cursor_created_at  timestamptz  created_at of the last answer seen; null: first page
--   cursor_id          bigint       id of that answer; null: first page
--   page_size          integer      answers wanted, 1 to 200
--   now                timestamptz  the time; null: the database's clock
--
-- Returns at most page_size answers: the columns of find_message, question, the text of the question, and
-- question_message_id (both null: the question was deleted, or has expired).
-- Index idx_chat_messages_mistakes: gives the order, so there is no sort; chat_messages_pkey.
SELECT
    answer.id,
    answer.conversation_id,
    answer.message_id,
    answer.role,
    answer.content,
    answer.created_at,
    answer.updated_at,
    answer.reply_to,
    answer.finish_reason,
    answer.model_name,
    answer.prompt_tokens,
    answer.completion_tokens,
    answer.tool_calls,
    answer.metadata,
    answer.files,
    answer.persona,
    answer.tone,
    answer.behavior,
    answer.context_type,
    answer.confidence,
    answer.signal_strength,
    answer.context_clarity,
    answer.needs_knowledge,
    answer.is_mistake,
    answer.mistake_note,
    answer.superseded_at,
    answer.refusal,
    answer.steps,
    answer.reasoning_tokens,
    answer.reasoning_seconds,
    answer.model,
    answer.requested_model,
    answer.cached_tokens,
    question.message_id AS question_message_id,
    question.content AS question
FROM chat_messages AS answer
LEFT JOIN chat_messages AS question
    ON
        answer.conversation_id = question.conversation_id
        AND answer.reply_to = question.id
        AND question.user_id = %(user_id)s::text
        AND is_kept(question.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
WHERE
    answer.user_id = %(user_id)s::text
    AND answer.is_mistake
    AND (answer.created_at, answer.id) < (
        coalesce(%(cursor_created_at)s::timestamptz, 'infinity'),
        coalesce(%(cursor_id)s::bigint, 9223372036854775807)
    )
    AND is_kept(answer.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
ORDER BY answer.created_at DESC, answer.id DESC
LIMIT %(page_size)s::integer;
