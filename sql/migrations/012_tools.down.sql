-- Takes back 012 tools. Lost: the files of messages; which tools were run for questions without an answer.

DROP TABLE IF EXISTS tool_runs;
REVOKE UPDATE (
    tone, behavior, context_type, signal_strength, context_clarity, needs_knowledge
) ON chat_messages FROM parley_app;
ALTER TABLE chat_messages DROP COLUMN IF EXISTS files;
