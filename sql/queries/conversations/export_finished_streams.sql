-- export_finished_streams :many
-- The streams of the caller's last answers, until they expire, with every column; for the export.
--
-- Parameters
--   user_id                 text         the caller
--   retention_days          integer      older rows are not shown; 0: no limit
--   cursor_conversation_id  uuid         conversation_id of the last row seen; null: the first batch
--   cursor_turn_id          uuid         turn_id of that row; null: the first batch
--   batch_size              integer      rows wanted
--   now                     timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: conversation_id, turn_id, and content, a JSON object of the row's columns.
-- Index idx_conversations_user_recent, finished_streams_pkey.
SELECT
    finished_streams.conversation_id,
    finished_streams.turn_id,
    to_jsonb(finished_streams)::text AS content
FROM conversations
INNER JOIN finished_streams ON conversations.id = finished_streams.conversation_id
WHERE
    conversations.user_id = %(user_id)s::text
    AND finished_streams.user_id = %(user_id)s::text
    AND (finished_streams.conversation_id, finished_streams.turn_id) > (
        coalesce(%(cursor_conversation_id)s::uuid, '00000000-0000-0000-0000-000000000000'),
        coalesce(%(cursor_turn_id)s::uuid, '00000000-0000-0000-0000-000000000000')
    )
    AND is_kept(finished_streams.ended_at, %(retention_days)s::integer, %(now)s::timestamptz)
ORDER BY finished_streams.conversation_id, finished_streams.turn_id
LIMIT %(batch_size)s::integer;
