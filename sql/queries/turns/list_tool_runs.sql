-- list_tool_runs :many
-- The tool runs of earlier attempts for the question of this attempt's turn, in the order they ran.
--
-- Sent after begin_turn, in the same round trip.
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous, has no tools
--   turn_id          uuid  token of this attempt
--
-- Returns 0 or more rows: run_key, tool_call_id, tool_name, arguments, output.
-- Index conversations_pkey, uq_chat_messages_message_id, tool_runs_pkey.
SELECT
    tool_runs.run_key,
    tool_runs.tool_call_id,
    tool_runs.tool_name,
    tool_runs.arguments,
    tool_runs.output
FROM conversations
INNER JOIN chat_messages
    ON
        conversations.id = chat_messages.conversation_id
        AND conversations.turn_message_id = chat_messages.message_id
        AND chat_messages.superseded_at IS NULL
INNER JOIN tool_runs
    ON
        chat_messages.conversation_id = tool_runs.conversation_id
        AND chat_messages.id = tool_runs.question_id
WHERE
    conversations.id = %(conversation_id)s::uuid
    AND conversations.user_id = %(user_id)s::text
    AND chat_messages.user_id = %(user_id)s::text
    AND tool_runs.user_id = %(user_id)s::text
    AND conversations.turn_id = %(turn_id)s::uuid
ORDER BY tool_runs.created_at;
