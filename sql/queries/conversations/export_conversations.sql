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
-- Returns 0 to batch_size rows: id, and content, a JSON object of the row's columns except key_hash; an expired title
-- is null, and so is the id of a question that has expired. Ordered by id, because a conversation that is used during
-- the export must not move past the cursor.
-- Index idx_conversations_user_id, uq_chat_messages_message_id.
-- The ids alone are sorted for each batch: of a user with 20,000 conversations, the rows of all would take a second.
WITH
-- MATERIALIZED: for the order, the planner would otherwise walk through the conversations of all users.
owned_conversations AS MATERIALIZED (
    SELECT conversations.id
    FROM conversations
    WHERE
        conversations.user_id = %(user_id)s::text
        AND (%(cursor_id)s::uuid IS NULL OR conversations.id > %(cursor_id)s::uuid)
        AND is_kept(conversations.updated_at, %(retention_days)s::integer, %(now)s::timestamptz)
),

-- An array, so that each is looked up by its key in every plan.
batch AS MATERIALIZED (
    SELECT array_agg(page.id) AS ids
    FROM (
        SELECT owned_conversations.id
        FROM owned_conversations
        ORDER BY owned_conversations.id
        LIMIT %(batch_size)s::integer
    ) AS page
)

SELECT
    conversations.id,
    (
        (to_jsonb(conversations) - 'key_hash')
        || CASE
            WHEN is_kept(conversations.titled_at, %(retention_days)s::integer, %(now)s::timestamptz)
                THEN '{}'::jsonb
            ELSE '{"title": null}'
        END
        || CASE
            WHEN conversations.turn_message_id IS NULL THEN '{}'::jsonb
            WHEN EXISTS (
                SELECT
                FROM chat_messages
                WHERE
                    chat_messages.conversation_id = conversations.id
                    AND chat_messages.user_id = %(user_id)s::text
                    AND chat_messages.message_id = conversations.turn_message_id
                    AND chat_messages.superseded_at IS NULL
                    AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
            ) THEN '{}'::jsonb
            ELSE '{"turn_message_id": null}'
        END
    )::text AS content
FROM conversations
WHERE
    conversations.id = any((SELECT batch.ids FROM batch)::uuid[])
    AND conversations.user_id = %(user_id)s::text
ORDER BY conversations.id;
