-- mark_mistake :one
-- Mark an answer of the caller as a mistake, or remove the mark.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   message_id       text         id of the answer, as clients see it
--   is_mistake       boolean      false: remove the mark and its note
--   mistake_note     text         description of the mistake, up to 1,000 characters; null: no note
--   retention_days   integer      older rows are not there; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: id. 0: there is no current answer of that id.
-- Index uq_chat_messages_message_id.
UPDATE chat_messages
SET
    is_mistake = %(is_mistake)s::boolean,
    mistake_note = CASE WHEN %(is_mistake)s::boolean THEN %(mistake_note)s::text END,
    updated_at = coalesce(%(now)s::timestamptz, now())
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.message_id = %(message_id)s::text
    AND chat_messages.superseded_at IS NULL
    AND chat_messages.role = 'assistant'
    AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
RETURNING chat_messages.id;
