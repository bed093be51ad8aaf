-- describe_answer :one
-- Store what an analysis says of an answer, where it was known only after the answer was stored.
--
-- Parameters
--   conversation_id    uuid              which
--   user_id            text              the caller; null: anonymous
--   answer_message_id  text              id of the answer, as clients see it
--   tone               text              unless one was chosen
--   behavior           text              unless one was chosen
--   context_type       text              what the question was about
--   signal_strength    double precision  how clear the intent was, 0 to 1
--   context_clarity    boolean           was the context clear?
--   needs_knowledge    boolean           did it need knowledge from elsewhere?
--
-- Returns 0 or 1 row: id. 0: the answer is gone or replaced.
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
