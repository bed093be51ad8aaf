-- release_turn :one
-- Give the turn back without an answer: the attempt produced nothing worth storing.
--
-- Sent after lock_conversation, in the same round trip, so that no batch is stored at the same time.
--
-- Parameters
--   conversation_id         uuid         the conversation
--   user_id                 text         the caller; null: anonymous
--   turn_id                 uuid         token of this attempt
--   question_id             bigint       chat_messages.id of the question; null: unknown, so it is not marked
--   refusal                 text         code of the problem for which the provider refused the question; null: it
--                                        did not
--   has_provider_failed     boolean      true: the provider itself failed the attempt, so the next one may be owed
--   paid_prompt_tokens      integer      tokens that the attempt has cost; 0: none
--   paid_completion_tokens  integer      likewise
--   quota_subjects          text[]       the subjects whose quota counts those tokens
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 1 row: id. 0 rows: the attempt had lost the turn, and nothing was counted.
-- Index conversations_pkey, stream_batches_pkey, chat_messages_pkey, uq_chat_messages_reply_to.
WITH
released_turn AS (
    UPDATE conversations
    SET
        turn_id = NULL,
        turn_message_id = NULL,
        turn_expires_at = NULL
    WHERE
        conversations.id = %(conversation_id)s::uuid
        AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND conversations.turn_id = %(turn_id)s::uuid
    RETURNING
        conversations.id,
        coalesce(%(now)s::timestamptz, now()) AS ended_at
),

removed_batches AS (
    DELETE FROM stream_batches
    USING released_turn
    WHERE
        stream_batches.conversation_id = released_turn.id
        AND stream_batches.user_id IS NOT DISTINCT FROM %(user_id)s::text
    RETURNING stream_batches.first_part
),

-- A question that was answered before was not refused then, and its answer stays current.
refused AS (
    SELECT
        %(refusal)s::text IS NOT NULL AND NOT EXISTS (
            SELECT
            FROM chat_messages AS answer
            WHERE
                answer.conversation_id = %(conversation_id)s::uuid
                AND answer.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND answer.reply_to = %(question_id)s::bigint
                AND answer.superseded_at IS NULL
                AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
        ) AS is_marked
),

-- As in finish_turn.
marked_question AS (
    UPDATE chat_messages
    SET
        refusal = CASE WHEN refused.is_marked THEN %(refusal)s::text ELSE chat_messages.refusal END,
        failed_attempts = CASE
            WHEN %(has_provider_failed)s::boolean
                THEN least(coalesce(chat_messages.failed_attempts, 0) + 1, 32767)
            ELSE chat_messages.failed_attempts
        END,
        owed_attempt = CASE
            WHEN %(has_provider_failed)s::boolean AND coalesce(chat_messages.failed_attempts, 0) < 3 THEN TRUE
        END,
        prompt_tokens = nullif(
            least(coalesce(chat_messages.prompt_tokens, 0)::bigint + %(paid_prompt_tokens)s::integer, 2147483647), 0
        ),
        completion_tokens = nullif(
            least(
                coalesce(chat_messages.completion_tokens, 0)::bigint + %(paid_completion_tokens)s::integer,
                2147483647
            ),
            0
        )
    FROM released_turn
    CROSS JOIN refused
    WHERE
        chat_messages.conversation_id = released_turn.id
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.id = %(question_id)s::bigint
        AND (
            refused.is_marked
            OR %(has_provider_failed)s::boolean
            OR chat_messages.owed_attempt IS NOT NULL
            OR %(paid_prompt_tokens)s::integer > 0
            OR %(paid_completion_tokens)s::integer > 0
        )
    RETURNING chat_messages.id
)

SELECT released_turn.id
FROM released_turn
CROSS JOIN
    LATERAL count_tokens(
        %(quota_subjects)s::text[],
        least(%(paid_prompt_tokens)s::integer::bigint + %(paid_completion_tokens)s::integer, 2147483647)::integer,
        released_turn.ended_at
    );
