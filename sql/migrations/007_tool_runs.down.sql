-- Takes back 007 tool runs. Lost: the tool runs of questions without an answer; a retry runs those tools again.

DROP FUNCTION IF EXISTS delete_old_chat_messages(interval, integer);
DROP FUNCTION IF EXISTS delete_old_chat_messages(interval, integer, timestamptz, timestamptz);
DROP TABLE IF EXISTS tool_runs;
