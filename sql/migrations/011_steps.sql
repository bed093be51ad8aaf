-- 011 steps: the parts of an answer's steps that stand in no other column, and their order.
--
-- Locks: ACCESS EXCLUSIVE on chat_messages, for a moment (a column without a default).
-- Undo: 011_steps.down.sql.

ALTER TABLE chat_messages ADD COLUMN IF NOT EXISTS steps json;

-- json, not jsonb, for its texts: jsonb refuses half a surrogate pair.
COMMENT ON COLUMN chat_messages.steps
IS 'Steps of the answer, each a list of its parts in order: reasoning, source, file and data whole, text as its number of characters in content, call as the next one in tool_calls; NULL: content and tool_calls tell the steps';
