-- 002 conversations: a thread of messages with one owner, or with none.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- Undo: 002_conversations.down.sql.

DO $$
BEGIN
    IF
        to_regclass('conversations') IS NOT NULL
        AND coalesce(obj_description(to_regclass('conversations'), 'pg_class'), '') NOT LIKE 'Parley:%'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'a table "conversations" exists already that Parley did not make',
            HINT = 'No table was changed. Rename that table, or give Parley a schema of its own, and run this again.';
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS conversations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    title varchar(255),
    status varchar(20) NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT chk_conversation_status CHECK (status IN ('active', 'archived'))
);

-- list_conversations: the order of the page.
CREATE INDEX IF NOT EXISTS idx_conversations_user_recent
ON conversations (user_id, updated_at DESC, id DESC);
-- The ON DELETE CASCADE of users; narrow, so it stays cached.
CREATE INDEX IF NOT EXISTS idx_conversations_user_id ON conversations (user_id);
-- list_conversations of one status.
CREATE INDEX IF NOT EXISTS idx_conversations_user_status
ON conversations (user_id, status, updated_at DESC, id DESC);
-- delete_old_chat_messages: conversations that nobody has used for long.
CREATE INDEX IF NOT EXISTS idx_conversations_updated_at ON conversations (updated_at DESC);
-- For an operator: what came in between two dates.
CREATE INDEX IF NOT EXISTS idx_conversations_created_at ON conversations (created_at);

COMMENT ON TABLE conversations IS 'Parley: a thread of messages';
COMMENT ON COLUMN conversations.id IS 'Random, or UUIDv5 of owner and the id that the client made';
COMMENT ON COLUMN conversations.user_id IS 'Owner; NULL: anonymous, reached by knowing the id';
COMMENT ON COLUMN conversations.title IS 'The beginning of the first message until there is a better one';
COMMENT ON COLUMN conversations.status IS 'active, or archived: refuses new messages';
COMMENT ON COLUMN conversations.created_at IS 'When the first message came';
COMMENT ON COLUMN conversations.updated_at IS 'When it was last used; orders the list';
