-- delete_conversation :one
-- Delete a conversation of the caller with its messages; a running answer ends cleanly.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: id.
-- Index conversations_pkey.
DELETE FROM conversations
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
RETURNING conversations.id;
