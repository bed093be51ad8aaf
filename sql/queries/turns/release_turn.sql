-- release_turn :one
-- Give the turn back without an answer: the attempt produced nothing worth storing.
--
-- Sent after lock_conversation, in the same round trip, so that no batch is stored at the same time.
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous
--   turn_id          uuid  token of this attempt
--
-- Returns 1 row: id. 0 rows: the attempt had lost the turn.
-- Index conversations_pkey, stream_batches_pkey.
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
)

SELECT released_turn.id
FROM released_turn;
