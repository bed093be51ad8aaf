-- find_conversation :one
-- One conversation of the caller.
--
-- Parameters
--   conversation_id  uuid  which
--   user_id          text  the caller; null: anonymous, sees only conversations without an owner
--
-- Returns 0 or 1 row: id, title, status, created_at, updated_at.
-- Index conversations_pkey.
SELECT
    conversations.id,
    conversations.title,
    conversations.status,
    conversations.created_at,
    conversations.updated_at
FROM conversations
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text;
