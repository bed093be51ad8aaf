-- 012 tools: what the assistant did for a question, the files of a message, and what is made only once.
--
-- Locks: ACCESS EXCLUSIVE on chat_messages, for a moment (a nullable column, no rewrite), and SHARE ROW
-- EXCLUSIVE on users and conversations (foreign keys of an empty table).
-- Undo: 012_tools.down.sql.

ALTER TABLE chat_messages ADD COLUMN IF NOT EXISTS files jsonb;
COMMENT ON COLUMN chat_messages.files
IS 'Files of a user message, each as the AI SDK has it: mediaType, url (https, or data), filename';

-- What describes an answer may be known later than the answer.
GRANT UPDATE (
    tone, behavior, context_type, signal_strength, context_clarity, needs_knowledge
) ON chat_messages TO parley_app;

-- Written before a tool has its effect, in the same transaction where the effect is a statement: an
-- attempt that dies in between leaves both or neither, and the next one finds what was done.
CREATE TABLE IF NOT EXISTS tool_runs (
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    question_id bigint NOT NULL,
    run_key varchar(100) NOT NULL,
    user_id varchar(255) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    turn_id uuid NOT NULL,
    tool_call_id varchar(255) NOT NULL,
    tool_name varchar(64) NOT NULL,
    arguments jsonb NOT NULL,
    output jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (conversation_id, question_id, run_key)
);
-- The ON DELETE CASCADE of users, and export_tool_runs.
CREATE INDEX IF NOT EXISTS idx_tool_runs_user_id ON tool_runs (user_id, created_at);

COMMENT ON TABLE tool_runs
IS 'Parley: tools that were run for a question that is not answered yet; finish_turn keeps them with the answer instead';
COMMENT ON COLUMN tool_runs.conversation_id IS 'The conversation';
COMMENT ON COLUMN tool_runs.question_id IS 'chat_messages.id of the question';
COMMENT ON COLUMN tool_runs.run_key
IS 'Which run: a hash of the tool, its arguments, and how many like it came before; the same in each attempt';
COMMENT ON COLUMN tool_runs.user_id IS 'In whose name it was run';
COMMENT ON COLUMN tool_runs.turn_id IS 'The attempt that ran it';
COMMENT ON COLUMN tool_runs.tool_call_id IS 'The call''s id, as the model named it';
COMMENT ON COLUMN tool_runs.tool_name IS 'The tool';
COMMENT ON COLUMN tool_runs.arguments IS 'What it was called with';
COMMENT ON COLUMN tool_runs.output IS 'What came of it; NULL: the attempt ended before it could say';
COMMENT ON COLUMN tool_runs.created_at IS 'When it was run; their order';

ALTER TABLE tool_runs ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, DELETE ON tool_runs TO parley_app;
GRANT UPDATE (output) ON tool_runs TO parley_app;
DROP POLICY IF EXISTS own_tool_runs ON tool_runs;
CREATE POLICY own_tool_runs ON tool_runs TO parley_app
USING (CASE WHEN TRUE THEN user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), '')) END);
COMMENT ON POLICY own_tool_runs ON tool_runs IS 'The caller''s';
