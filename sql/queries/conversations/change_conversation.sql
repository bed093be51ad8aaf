-- change_conversation :one
-- Rename, archive or reactivate a conversation of the caller, or set its instructions.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous
--   title            text         null: unchanged
--   status           text         'active' or 'archived'; null: unchanged
--   instructions     text         1 to 4000 characters; '': none from now on; null: unchanged
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: id. updated_at does not move, so the order of the list stays.
-- Index conversations_pkey.
UPDATE conversations
SET
    title = coalesce(%(title)s::text, conversations.title),
    titled_at = CASE
        WHEN %(title)s::text IS NULL THEN conversations.titled_at
        ELSE coalesce(%(now)s::timestamptz, now())
    END,
    status = coalesce(%(status)s::text, conversations.status),
    instructions = CASE
        WHEN %(instructions)s::text IS NULL THEN conversations.instructions
        ELSE nullif(%(instructions)s::text, '')
    END
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
RETURNING conversations.id;
