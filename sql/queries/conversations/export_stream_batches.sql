-- export_stream_batches :many
-- The stored parts of the caller's running answers, with every column; for the export.
--
-- Parameters
--   user_id                 text         the caller
--   retention_days          integer      the parts of an answer to an older question are not shown; 0: no limit
--   cursor_conversation_id  uuid         conversation_id of the last row seen; null: the first batch
--   cursor_first_part       integer      first_part of that row; null: the first batch
--   batch_size              integer      rows wanted
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, first_part, and content, a JSON object of the row's
-- columns. A conversation holds the parts of one attempt at most: taking the turn stores or removes the
-- parts of the attempt before.
-- Index idx_conversations_user_id, uq_chat_messages_message_id, stream_batches_pkey.
-- The LATERAL join looks into one conversation at a time; the planner would otherwise read the parts of all callers.
SELECT
    batches.conversation_id,
    batches.first_part,
    batches.content
FROM conversations
CROSS JOIN
    LATERAL (
        SELECT
            stream_batches.conversation_id,
            stream_batches.first_part,
            to_jsonb(stream_batches)::text AS content
        FROM stream_batches
        WHERE
            stream_batches.conversation_id = conversations.id
            AND stream_batches.user_id = %(user_id)s::text
            AND (stream_batches.conversation_id, stream_batches.first_part) > (
                coalesce(%(cursor_conversation_id)s::uuid, '00000000-0000-0000-0000-000000000000'),
                coalesce(%(cursor_first_part)s::integer, -1)
            )
        ORDER BY stream_batches.first_part
        LIMIT %(batch_size)s::integer
    ) AS batches
WHERE
    conversations.user_id = %(user_id)s::text
    -- An unfinished answer expires with its question, which is older.
    AND (
        SELECT chat_messages.id
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = conversations.id
            AND chat_messages.user_id = %(user_id)s::text
            AND chat_messages.message_id = conversations.turn_message_id
            AND chat_messages.superseded_at IS NULL
            AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    ) IS NOT NULL
ORDER BY batches.conversation_id, batches.first_part
LIMIT %(batch_size)s::integer;
