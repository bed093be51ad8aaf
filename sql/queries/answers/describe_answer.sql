-- describe_answer :one
-- Store the analysis of an answer that was stored before its analysis was known.
--
-- Parameters
--   conversation_id    uuid              the conversation
--   user_id            text              the caller; null: anonymous
--   answer_message_id  text              id of the answer, as clients see it
--   tone               text              tone by the analysis; ignored if the request chose one
--   behavior           text              likewise
--   context_type       text              subject of the question
--   signal_strength    double precision  clarity of the intent, 0 to 1
--   context_clarity    boolean           true: the context was clear
--   needs_knowledge    boolean           true: the question needs knowledge from elsewhere
--
-- Returns 0 or 1 row: id. 0: the answer was deleted or replaced.
-- Index uq_chat_messages_message_id.
UPDATE chat_messages
SET
    tone = coalesce(chat_messages.tone, %(tone)s::text),
    behavior = coalesce(chat_messages.behavior, %(behavior)s::text),
    context_type = %(context_type)s::text,
    signal_strength = %(signal_strength)s::double precision,
    context_clarity = %(context_clarity)s::boolean,
    needs_knowledge = %(needs_knowledge)s::boolean
WHERE
    chat_messages.conversation_id = %(conversation_id)s::uuid
    AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND chat_messages.message_id = %(answer_message_id)s::text
    AND chat_messages.superseded_at IS NULL
RETURNING chat_messages.id;
