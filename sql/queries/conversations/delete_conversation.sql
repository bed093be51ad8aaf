-- delete_conversation :one
-- Delete a conversation of the caller, with its messages. An answer that is being made ends cleanly.
--
-- Parameters
--   conversation_id  uuid         which
--   user_id          text         the caller; null: anonymous
--   retention_days   integer      one that was not used since is not there; 0: all are
--   now              timestamptz  null: the database's clock
--
-- Returns 0 or 1 row: id.
-- Index conversations_pkey.
DELETE FROM conversations
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND (
        %(retention_days)s::integer = 0
        OR conversations.updated_at
        >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    )
RETURNING conversations.id;
