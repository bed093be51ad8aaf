-- export_conversations :many
-- A batch of the caller's conversations with every column, for the export.
--
-- Parameters
--   user_id            text         the caller
--   retention_days     integer      older ones are not shown; 0: all are
--   cursor_updated_at  timestamptz  updated_at of the last row seen; null: the first batch
--   cursor_id          uuid         id of that row; null: the first batch
--   batch_size         integer      rows wanted
--   now                timestamptz  null: the database's clock
--
-- Returns 0 to batch_size rows: id, updated_at, and content, a JSON object of the row's columns.
-- Index idx_conversations_user_recent: gives the order, so there is no sort.
SELECT
    conversations.id,
    conversations.updated_at,
    to_jsonb(conversations)::text AS content
FROM conversations
WHERE
    conversations.user_id = %(user_id)s::text
    AND (conversations.updated_at, conversations.id) < (
        coalesce(%(cursor_updated_at)s::timestamptz, 'infinity'),
        coalesce(%(cursor_id)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND (
        %(retention_days)s::integer = 0
        OR conversations.updated_at
        >= coalesce(%(now)s::timestamptz, now()) - make_interval(days => %(retention_days)s::integer)
    )
ORDER BY conversations.updated_at DESC, conversations.id DESC
LIMIT %(batch_size)s::integer;
