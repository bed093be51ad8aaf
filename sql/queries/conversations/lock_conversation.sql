-- lock_conversation :one
-- Wait until no other request decides about this conversation of the caller, and keep others waiting.
--
-- Sent before the statement that decides, in the same round trip. In READ COMMITTED a statement keeps the
-- snapshot that it had before it waited for a lock: one that locked and decided at once would not see what
-- the request before it stored. (begin_turn and finish_turn do the same within.)
--
-- Parameters
--   conversation_id  uuid  which
--   user_id          text  the caller; null: anonymous
--
-- Returns 0 or 1 row: id. 0: there is none yet, or it is not the caller's.
-- Index conversations_pkey.
-- NO KEY: the foreign keys of messages being inserted need not wait.
SELECT conversations.id
FROM conversations
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
FOR NO KEY UPDATE;
