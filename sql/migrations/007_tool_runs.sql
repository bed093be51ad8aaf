-- 007 tool runs: tools that ran for a question without an answer, so that a retry does not run them again.
--
-- Locks: SHARE ROW EXCLUSIVE on users and conversations, for a moment (foreign keys of an empty table).
-- Undo: 007_tool_runs.down.sql.

-- A row is written before its tool has an effect, and in the same transaction where the effect is a statement: an
-- attempt that dies in between leaves both or neither, and the next attempt finds the row.
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
-- export_tool_runs, and the ON DELETE CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_tool_runs_user_id ON tool_runs (user_id, created_at);
-- delete_old_chat_messages: the oldest. Few questions have no answer, so it is small.
CREATE INDEX IF NOT EXISTS idx_tool_runs_created_at ON tool_runs (created_at);

COMMENT ON TABLE tool_runs
IS 'Parley: tools that ran for a question without an answer; finish_turn stores them with the answer instead';
COMMENT ON COLUMN tool_runs.conversation_id IS 'The conversation';
COMMENT ON COLUMN tool_runs.question_id IS 'chat_messages.id of the question';
COMMENT ON COLUMN tool_runs.run_key
IS 'Hash of the tool, its arguments, and the number of equal runs before it; the same in each attempt';
COMMENT ON COLUMN tool_runs.user_id IS 'The user in whose name it ran';
COMMENT ON COLUMN tool_runs.turn_id IS 'The attempt that ran it';
COMMENT ON COLUMN tool_runs.tool_call_id IS 'The call''s id, as the model named it';
COMMENT ON COLUMN tool_runs.tool_name IS 'The tool';
COMMENT ON COLUMN tool_runs.arguments IS 'Its arguments';
COMMENT ON COLUMN tool_runs.output IS 'Its result; NULL: the attempt ended before it stored one';
COMMENT ON COLUMN tool_runs.created_at IS 'When it ran; orders the runs';

ALTER TABLE tool_runs ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own_tool_runs ON tool_runs;
CREATE POLICY own_tool_runs ON tool_runs TO parley_app
USING (CASE WHEN TRUE THEN user_id = nullif(current_setting('parley.user_id', TRUE), '') END);
COMMENT ON POLICY own_tool_runs ON tool_runs IS 'The caller''s';
