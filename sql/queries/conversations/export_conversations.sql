-- export_conversations :many
-- A batch of the caller's conversations with every column, for the export.
--
-- Parameters
--   user_id         text         the caller
--   retention_days  integer      older rows are not shown; 0: no limit
--   cursor_id       uuid         id of the last row seen; null: the first batch
--   batch_size      integer      rows wanted
--   now             timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: id, and content, a JSON object of the row's columns except
-- key_hash. Ordered by id, because a
-- conversation that is used during the export must not move past the cursor.
-- Index idx_conversations_user_id.
WITH
-- MATERIALIZED: for the order, the planner would otherwise walk through the conversations of all users.
owned_conversations AS MATERIALIZED (
    SELECT
        conversations.id,
        (to_jsonb(conversations) - 'key_hash')::text AS content
    FROM conversations
    WHERE
        conversations.user_id = %(user_id)s::text
        AND (%(cursor_id)s::uuid IS NULL OR conversations.id > %(cursor_id)s::uuid)
        AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
)

SELECT
    owned_conversations.id,
    owned_conversations.content
FROM owned_conversations
ORDER BY owned_conversations.id
LIMIT %(batch_size)s::integer;
