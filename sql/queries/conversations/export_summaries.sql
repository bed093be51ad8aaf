-- export_summaries :many
-- The summaries of the caller's conversations, with every column; for the export.
--
-- Parameters
--   user_id                 text         the caller
--   retention_days          integer      summaries of older messages are not shown; 0: no limit
--   cursor_conversation_id  uuid         conversation_id of the last row seen; null: the first batch
--   cursor_through_id       bigint       through_id of that row; null: the first batch
--   batch_size              integer      rows wanted
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, through_id, and content, a JSON object of the row's columns. Without
-- those that are being made.
-- Index idx_conversations_user_id, conversation_summaries_pkey.
-- The LATERAL join looks into one conversation at a time: see export_stream_batches.
SELECT
    summaries.conversation_id,
    summaries.through_id,
    summaries.content
FROM conversations
CROSS JOIN
    LATERAL (
        SELECT
            conversation_summaries.conversation_id,
            conversation_summaries.through_id,
            to_jsonb(conversation_summaries)::text AS content
        FROM conversation_summaries
        WHERE
            conversation_summaries.conversation_id = conversations.id
            AND conversation_summaries.user_id = %(user_id)s::text
            AND (conversation_summaries.conversation_id, conversation_summaries.through_id) > (
                coalesce(%(cursor_conversation_id)s::uuid, '00000000-0000-0000-0000-000000000000'),
                coalesce(%(cursor_through_id)s::bigint, -1)
            )
            AND conversation_summaries.content IS NOT NULL
            AND is_kept(conversation_summaries.oldest_at, %(retention_days)s::integer, %(now)s::timestamptz)
        ORDER BY conversation_summaries.through_id
        LIMIT %(batch_size)s::integer
    ) AS summaries
WHERE conversations.user_id = %(user_id)s::text
ORDER BY summaries.conversation_id, summaries.through_id
LIMIT %(batch_size)s::integer;
