-- release_turn :one
-- Give the turn back without an answer: the model failed before anything came.
--
-- Parameters
--   conversation_id  uuid  which
--   user_id          text  the caller; null: anonymous
--   turn_id          uuid  token of this attempt
--
-- Returns 1 row: id. 0 rows: the turn was not this attempt's any more.
-- Index conversations_pkey.
UPDATE conversations
SET
    turn_id = NULL,
    turn_message_id = NULL,
    turn_expires_at = NULL
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversations.turn_id = %(turn_id)s::uuid
RETURNING conversations.id;
