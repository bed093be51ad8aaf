-- finish_tool_run :one
-- Record the result of a tool run.
--
-- Parameters
--   conversation_id  uuid    the conversation
--   user_id          text    the caller
--   question_id      bigint  chat_messages.id of the question
--   run_key          text    key of the run
--   output           jsonb   result of the tool
--
-- Returns 0 or 1 row: run_key. 0: the question is answered, or was deleted.
-- Index tool_runs_pkey.
UPDATE tool_runs
SET output = %(output)s::jsonb
WHERE
    tool_runs.conversation_id = %(conversation_id)s::uuid
    AND tool_runs.user_id = %(user_id)s::text
    AND tool_runs.question_id = %(question_id)s::bigint
    AND tool_runs.run_key = %(run_key)s::text
RETURNING tool_runs.run_key;
