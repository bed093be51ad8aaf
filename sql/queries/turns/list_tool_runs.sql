-- list_tool_runs :many
-- The tool runs of earlier attempts at the question of this attempt's turn, in the order in which the tools ran.
--
-- The function lists them; this puts them in order.
-- Parameters, result and indexes: sql/functions/list_tool_runs.sql.
SELECT
    listed.run_key,
    listed.tool_call_id,
    listed.tool_name,
    listed.arguments,
    listed.output
FROM
    list_tool_runs(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        turn_id => %(turn_id)s::uuid
    ) AS listed
ORDER BY listed.created_at, listed.run_key;
