-- stop_turn :one
-- Request that the running answer of a conversation stops; its attempt learns of it from store_stream_batches.
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous
--
-- Returns 0 or 1 row: turn_id of the attempt that holds the turn. 0: none does.
-- Index conversations_pkey.
UPDATE conversations
SET stopped_turn_id = conversations.turn_id
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND conversations.turn_id IS NOT NULL
RETURNING conversations.turn_id;
