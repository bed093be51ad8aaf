-- change_conversation :one
-- Give a conversation of the caller another title, or archive it, or make it active again.
--
-- Parameters
--   conversation_id  uuid         which
--   user_id          text         the caller; null: anonymous
--   title            text         null: stays as it is
--   status           text         'active' or 'archived'; null: stays as it is
--   retention_days   integer      one that was not used since is not there; 0: all are
--   now              timestamptz  null: the database's clock
--
-- Returns 0 or 1 row: id. It counts as no use, so the list's order stays.
-- Index conversations_pkey.
UPDATE conversations
SET
    title = coalesce(%(title)s::text, conversations.title),
    status = coalesce(%(status)s::text, conversations.status)
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND (
        %(retention_days)s::integer = 0
        OR conversations.updated_at
        >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    )
RETURNING conversations.id;
