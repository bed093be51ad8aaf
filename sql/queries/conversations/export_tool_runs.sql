-- export_tool_runs :many
-- The tool runs of the caller's unanswered questions, with every column; for the export.
--
-- Parameters
--   user_id            text         the caller
--   retention_days     integer      the runs of older questions are not shown; 0: no limit
--   cursor_created_at  timestamptz  created_at of the last row seen; null: the first batch
--   cursor_run_key     text         run_key of that row; null: the first batch
--   batch_size         integer      rows wanted
--   now                timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: created_at, run_key, and content, a JSON object of the row's columns.
-- Index idx_tool_runs_user_id; of chat_messages any that begins with the conversation.
SELECT
    tool_runs.created_at,
    tool_runs.run_key,
    to_jsonb(tool_runs)::text AS content
FROM tool_runs
WHERE
    tool_runs.user_id = %(user_id)s::text
    AND (tool_runs.created_at, tool_runs.run_key) > (
        coalesce(%(cursor_created_at)s::timestamptz, '-infinity'), coalesce(%(cursor_run_key)s::text, '')
    )
    -- A tool run expires with its question, which is older.
    AND EXISTS (
        SELECT
        FROM chat_messages
        WHERE
            chat_messages.conversation_id = tool_runs.conversation_id
            AND chat_messages.user_id = %(user_id)s::text
            AND chat_messages.id = tool_runs.question_id
            AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
    )
ORDER BY tool_runs.created_at, tool_runs.run_key
LIMIT %(batch_size)s::integer;
