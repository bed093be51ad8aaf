-- find_conversation :one
-- One conversation of the caller.
--
-- Parameters
--   conversation_id  uuid         the conversation
--   user_id          text         the caller; null: anonymous, finds only conversations without an owner
--   retention_days   integer      conversations unused for longer are not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: id, title (null: none, or it has expired), status, created_at, updated_at, model.
-- Index conversations_pkey.
SELECT
    conversations.id,
    shown.title,
    conversations.status,
    conversations.created_at,
    conversations.updated_at,
    conversations.model
FROM conversations
CROSS JOIN
    LATERAL (
        VALUES (
            CASE
                WHEN is_kept(conversations.titled_at, %(retention_days)s::integer, %(now)s::timestamptz)
                    THEN conversations.title
            END
        )
    ) AS shown (title)
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz);
