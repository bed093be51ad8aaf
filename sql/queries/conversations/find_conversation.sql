-- find_conversation :one
-- One conversation of the caller.
--
-- Parameters
--   conversation_id  uuid         which
--   user_id          text         the caller; null: anonymous, sees only those without an owner
--   retention_days   integer      one that was not used since is not there; 0: all are
--   now              timestamptz  null: the database's clock
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
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND (
        %(retention_days)s::integer = 0
        OR conversations.updated_at
        >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    );
