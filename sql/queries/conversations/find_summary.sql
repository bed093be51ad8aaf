-- find_summary :one
-- The newest summary of a conversation of the caller.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   retention_days   integer      a summary of older messages is not found; 0: keep all
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: content; through_message_id, id of the last message that it tells, as clients see it (null: that
-- message is deleted); model; created_at.
-- Index conversation_summaries_pkey, chat_messages_pkey.
SELECT
    conversation_summaries.content,
    (
        SELECT chat_messages.message_id
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = %(conversation_id)s::uuid
            AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
            AND chat_messages.id = conversation_summaries.through_id
    ) AS through_message_id,
    conversation_summaries.model,
    conversation_summaries.created_at
FROM conversation_summaries
WHERE
    conversation_summaries.conversation_id = %(conversation_id)s::uuid
    AND conversation_summaries.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversation_summaries.content IS NOT NULL
    AND is_kept(conversation_summaries.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
ORDER BY conversation_summaries.through_id DESC
LIMIT 1;
