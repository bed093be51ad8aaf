-- release_turn :one
-- Give the turn back without an answer: the attempt produced nothing worth storing.
--
-- Sent after lock_conversation, in the same round trip, so that no batch is stored at the same time.
--
-- Parameters
--   conversation_id  uuid    the conversation
--   user_id          text    the caller; null: anonymous
--   turn_id          uuid    token of this attempt
--   question_id      bigint  chat_messages.id of the question; null: it was not refused
--   refusal          text    code of the problem for which the provider refused the question; null: it did not
--
-- Returns 1 row: id. 0 rows: the attempt had lost the turn.
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
    RETURNING conversations.id
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
refused_question AS (
    UPDATE chat_messages
    SET refusal = %(refusal)s::text
    FROM released_turn
    WHERE
        chat_messages.conversation_id = released_turn.id
        AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND chat_messages.id = %(question_id)s::bigint
        AND NOT EXISTS (
            SELECT
            FROM chat_messages AS answer
            WHERE
                answer.conversation_id = %(conversation_id)s::uuid
                AND answer.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND answer.reply_to = %(question_id)s::bigint
                AND answer.superseded_at IS NULL
                AND coalesce(answer.finish_reason, 'stop') NOT IN ('error', 'interrupted')
        )
    RETURNING chat_messages.id
)

SELECT released_turn.id
FROM released_turn;
