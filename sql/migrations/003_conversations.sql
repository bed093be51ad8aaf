-- 003 conversations: threads of messages, with one owner or none, and the lease of the running turn.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- Undo: 003_conversations.down.sql.

CREATE TABLE IF NOT EXISTS conversations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    title varchar(255),
    titled_at timestamptz NOT NULL DEFAULT now(),
    status varchar(20) NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    turn_id uuid,
    turn_message_id varchar(255),
    turn_expires_at timestamptz,
    stopped_turn_id uuid,
    key_hash bytea,
    claimed_at timestamptz,
    message_count integer,
    last_message varchar(120),
    model text,
    instructions text,
    CONSTRAINT chk_key_hash CHECK (length(key_hash) = 32),
    CONSTRAINT chk_conversation_instructions CHECK (length(instructions) BETWEEN 1 AND 4000),
    CONSTRAINT chk_conversation_status CHECK (status IN ('active', 'archived'))
    -- The clean-up deletes a thirtieth each night. Vacuumed the same night, not after a fifth is gone: until then
    -- the next clean-up and the list read over the dead rows. Half of each page stays free, so that an update which
    -- changes no indexed column finds room in the page of its row, and writes to no index (HOT): with a fifth free,
    -- every fourth one found none.
) WITH (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 50);

-- Each turn updates its conversation twice. No index has a column that the second update changes, nor one of the lease.

-- list_conversations: the order of the page; delete_conversations: the batch; export_conversations; the ON DELETE
-- CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_conversations_user_id
ON conversations (user_id, updated_at DESC, id DESC);
-- list_conversations of one status.
CREATE INDEX IF NOT EXISTS idx_conversations_user_status
ON conversations (user_id, status, updated_at DESC, id DESC);
-- delete_old_conversations, count_old_conversations: the conversations unused for longest; count_backlog: those used
-- just now.
CREATE INDEX IF NOT EXISTS idx_conversations_updated_at ON conversations (updated_at DESC);
-- replace_old_titles, count_old_titles: the oldest titles.
CREATE INDEX IF NOT EXISTS idx_conversations_titled_at
ON conversations (titled_at) WHERE title IS NOT NULL;
-- For an operator: the conversations of a period.
CREATE INDEX IF NOT EXISTS idx_conversations_created_at ON conversations (created_at);

COMMENT ON TABLE conversations IS 'Parley: a thread of messages';
COMMENT ON COLUMN conversations.id IS 'Random, or UUIDv5 of the owner and the client''s own id';
COMMENT ON COLUMN conversations.user_id IS 'Owner; NULL: anonymous, reached by its key, or without one by its id';
COMMENT ON COLUMN conversations.title IS 'The beginning of the first message until there is a better one';
COMMENT ON COLUMN conversations.titled_at
IS 'When the message was stored that the title tells, or when the user set the title; retention counts from here';
COMMENT ON COLUMN conversations.status IS 'active, or archived: refuses new messages';
COMMENT ON COLUMN conversations.created_at IS 'When the first message came';
COMMENT ON COLUMN conversations.updated_at IS 'When its last question came; orders the list';
COMMENT ON COLUMN conversations.turn_id
IS 'Token of the attempt that is answering: only that attempt writes; NULL: the turn is free';
COMMENT ON COLUMN conversations.turn_message_id IS 'message_id of the question being answered';
COMMENT ON COLUMN conversations.turn_expires_at
IS 'When the lease ends by itself unless the attempt prolongs it: seconds from now, by this database''s clock';
COMMENT ON COLUMN conversations.stopped_turn_id
IS 'Token of the last attempt that was asked to stop: the attempt stops if it is still turn_id';
COMMENT ON COLUMN conversations.key_hash
IS 'SHA-256 of the key that reaches it while it has no owner, and deletes it afterwards; NULL: it has no key';
COMMENT ON COLUMN conversations.message_count
IS 'Current messages, without system messages; NULL: unknown, so readers count: set it to NULL when you write messages by hand';
COMMENT ON COLUMN conversations.last_message IS 'The beginning of the last of them; unknown with message_count';
COMMENT ON COLUMN conversations.model
IS 'The model that its last request with a choice named, as users see the name; NULL: none did';
COMMENT ON COLUMN conversations.instructions
IS 'What the user wants the model to know or to do in this conversation; NULL: nothing';
COMMENT ON COLUMN conversations.claimed_at IS 'When its owner took it over; NULL: it has none, or was made by its owner';

ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;

-- In this policy and those of the other tables each setting is read once a row: as a subquery, read once a statement,
-- it cost a turn more than the rows of a turn do. CASE, because the planner makes no estimate of it: it would take the
-- same condition as OR for a filter that leaves one row, on top of the WHERE that names the caller already, and sort a
-- whole conversation to show a page.
DROP POLICY IF EXISTS own_conversations ON conversations;
CREATE POLICY own_conversations ON conversations TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN
                id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
                -- act_as_caller has compared it: this is for one that is made in the moment between.
                AND key_hash IS NOT DISTINCT FROM decode(nullif(current_setting('parley.key_hash', TRUE), ''), 'hex')
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_conversations ON conversations
IS 'The caller''s, and the conversation without an owner that the caller reaches by its key or its id';
