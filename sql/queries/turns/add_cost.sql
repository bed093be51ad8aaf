-- add_cost :one
-- Count tokens that an attempt has cost after its turn was given back, such as those of an analysis, or after it has
-- lost the turn.
--
-- finish_turn and release_turn count them once, since they know whether the turn is theirs. This counts again when
-- it is sent again because its connection broke.
--
-- Parameters
--   conversation_id         uuid         the conversation
--   user_id                 text         the caller; null: anonymous
--   question_id             bigint       chat_messages.id of the question
--   paid_prompt_tokens      integer      the tokens
--   paid_completion_tokens  integer      likewise
--   quota_subjects          text[]       the subjects whose quota counts them
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 1 row: question_id, null where the question is deleted by now; the quota counts either way.
-- Index chat_messages_pkey.
WITH
marked_question AS (
    UPDATE chat_messages
    SET
        prompt_tokens = least(
            coalesce(chat_messages.prompt_tokens, 0)::bigint + %(paid_prompt_tokens)s::integer, 2147483647
        ),
        completion_tokens = least(
            coalesce(chat_messages.completion_tokens, 0)::bigint + %(paid_completion_tokens)s::integer, 2147483647
        )
    WHERE
        chat_messages.conversation_id = %(conversation_id)s::uuid
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.id = %(question_id)s::bigint
    RETURNING chat_messages.id
)

SELECT max(marked_question.id) AS question_id
FROM
    count_tokens(
        %(quota_subjects)s::text[],
        least(%(paid_prompt_tokens)s::integer::bigint + %(paid_completion_tokens)s::integer, 2147483647)::integer,
        coalesce(%(now)s::timestamptz, now())
    )
LEFT JOIN marked_question ON TRUE;
