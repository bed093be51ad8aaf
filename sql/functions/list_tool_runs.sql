-- list_tool_runs
-- Lists the tool runs of earlier attempts at the question of a turn.
--
-- Called after begin_turn, in the same round trip. A function, because its plan is kept: nearly every turn has no tool
-- runs, and then planning was most of the cost.
--
-- Parameters
--   conversation_id  uuid  the conversation
--   user_id          text  the caller; null: anonymous, has no tools
--   turn_id          uuid  token of this attempt
--
-- Returns 0 or more rows of tool_runs, in the order in which the tools ran.
-- Index conversations_pkey, uq_chat_messages_message_id, tool_runs_pkey.
CREATE OR REPLACE FUNCTION list_tool_runs(
    conversation_id uuid,
    user_id text,
    turn_id uuid
)
RETURNS SETOF tool_runs
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT tool_runs.*
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
        conversations.id = list_tool_runs.conversation_id
        AND conversations.user_id = list_tool_runs.user_id
        AND chat_messages.user_id = list_tool_runs.user_id
        AND tool_runs.user_id = list_tool_runs.user_id
        AND conversations.turn_id = list_tool_runs.turn_id
    ORDER BY tool_runs.created_at, tool_runs.run_key;
END
$$;
COMMENT ON FUNCTION list_tool_runs(uuid, text, uuid)
IS 'Parley: the tool runs of earlier attempts at the question of a turn';
