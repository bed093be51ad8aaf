-- lock_conversation :one
-- Lock a conversation of the caller until the end of the round trip.
--
-- Sent before the statement that decides, in the same round trip. In READ COMMITTED a statement keeps the
-- snapshot from before its wait for a lock: one statement that locks and decides would not see the rows
-- that the request before it stored. (begin_turn and finish_turn lock the same way inside their functions.)
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous
--
-- Returns 0 or 1 row: id. 0: there is no such conversation, or it belongs to another caller.
-- Index conversations_pkey.
-- FOR NO KEY UPDATE: inserts of messages, which check their foreign key, need not wait.
SELECT conversations.id
FROM conversations
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
FOR NO KEY UPDATE;
