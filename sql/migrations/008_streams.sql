-- 008 streams: the parts of running and just finished answers, for readers that join and for killed functions.
--
-- Locks: SHARE ROW EXCLUSIVE on conversations, for a moment (foreign keys of empty tables).
-- Undo: 008_streams.down.sql.

-- A row is inserted every second while an answer is made, or every quarter of a second while another process
-- follows it; finish_turn deletes them.
CREATE TABLE IF NOT EXISTS stream_batches (
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    turn_id uuid NOT NULL,
    user_id varchar(255),
    first_part integer NOT NULL,
    part_count integer NOT NULL,
    parts text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    followed_at timestamptz,
    PRIMARY KEY (conversation_id, turn_id, first_part)
);
-- count_backlog: one entry for each answer that is being made, or whose function was killed.
CREATE INDEX IF NOT EXISTS idx_stream_batches_created_at ON stream_batches (created_at) WHERE first_part = 0;

COMMENT ON TABLE stream_batches
IS 'Parley: the parts of answers that are not stored yet, in batches; finish_turn stores the answer and deletes them';
COMMENT ON COLUMN stream_batches.conversation_id IS 'The conversation';
COMMENT ON COLUMN stream_batches.turn_id IS 'The attempt that makes the answer';
COMMENT ON COLUMN stream_batches.user_id IS 'Owner of the conversation; NULL: anonymous';
COMMENT ON COLUMN stream_batches.first_part IS 'Number of the batch''s first part in the answer''s stream, from 0';
COMMENT ON COLUMN stream_batches.part_count IS 'Parts in the batch';
-- 30,000 tokens as events would be ten times their text.
COMMENT ON COLUMN stream_batches.parts
IS 'The parts: server-sent events as they are sent, but one line for a run of pieces of one text, thought or call (lib/streams/compact.py)';
COMMENT ON COLUMN stream_batches.created_at IS 'When the batch was stored';
COMMENT ON COLUMN stream_batches.followed_at
IS 'When another process last said that it follows the answer, as known with this batch; NULL: none has';

-- The answers of the last minute, and not the last answer alone: a reader must find the end of its answer even if
-- the next answer has ended too. The conversation's next answer deletes older rows, or the clean-up.
CREATE TABLE IF NOT EXISTS finished_streams (
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    turn_id uuid NOT NULL,
    user_id varchar(255),
    answer_message_id varchar(255) NOT NULL,
    parts text NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, turn_id)
);
-- delete_old_finished_streams: the oldest.
CREATE INDEX IF NOT EXISTS idx_finished_streams_ended_at ON finished_streams (ended_at);

COMMENT ON TABLE finished_streams
IS 'Parley: the streams of a conversation''s last answers, for readers that come within a minute after the end';
COMMENT ON COLUMN finished_streams.conversation_id IS 'The conversation';
COMMENT ON COLUMN finished_streams.turn_id IS 'The attempt that made the answer';
COMMENT ON COLUMN finished_streams.user_id IS 'Owner of the conversation; NULL: anonymous';
COMMENT ON COLUMN finished_streams.answer_message_id IS 'message_id of the answer';
COMMENT ON COLUMN finished_streams.parts IS 'All of its parts, in the form of stream_batches.parts';
COMMENT ON COLUMN finished_streams.ended_at IS 'When the answer was stored';

ALTER TABLE stream_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE finished_streams ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_stream_batches ON stream_batches;
CREATE POLICY own_stream_batches ON stream_batches TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_stream_batches ON stream_batches
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

DROP POLICY IF EXISTS own_finished_streams ON finished_streams;
CREATE POLICY own_finished_streams ON finished_streams TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_finished_streams ON finished_streams
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';
