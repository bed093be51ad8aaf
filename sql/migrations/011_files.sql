-- 011 files: the bytes of files, stored once for their owner, and the messages that have them.
--
-- Locks: SHARE ROW EXCLUSIVE on users, conversations and chat_messages, for a moment (foreign keys of an empty table,
-- and a trigger).
-- Undo: 011_files.down.sql.

-- The id is made of the owner, the type and the bytes (lib/files/file.py), so that a file sent twice is one row, and a
-- message sent twice is the same message.
CREATE TABLE IF NOT EXISTS chat_files (
    id uuid PRIMARY KEY,
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    conversation_id uuid REFERENCES conversations (id) ON DELETE CASCADE,
    media_type varchar(255) NOT NULL,
    filename varchar(255),
    size bigint NOT NULL,
    bytes bytea NOT NULL,
    is_upload boolean NOT NULL DEFAULT FALSE,
    file_id uuid,
    is_used boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT chk_file_owner CHECK (user_id IS NOT NULL OR conversation_id IS NOT NULL),
    CONSTRAINT chk_file_size CHECK (size > 0)
);
-- Images, PDF files and the like are compressed already; and an uncompressed value is read in pieces, without the rest.
ALTER TABLE chat_files ALTER COLUMN bytes SET STORAGE EXTERNAL;
-- store_message_files, store_file: the bytes of one user; export_files; the ON DELETE CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_chat_files_user_id ON chat_files (user_id, id) INCLUDE (size, file_id);
-- The same for a guest's conversation; claim_conversation.
CREATE INDEX IF NOT EXISTS idx_chat_files_conversation_id
ON chat_files (conversation_id, id) INCLUDE (size, file_id) WHERE conversation_id IS NOT NULL;
-- delete_unused_files: the oldest.
CREATE INDEX IF NOT EXISTS idx_chat_files_unused ON chat_files (created_at) WHERE NOT is_used;

COMMENT ON TABLE chat_files IS 'Parley: the bytes of files in messages, each once for its owner; deleted with the last message that has it';
COMMENT ON COLUMN chat_files.id IS 'Hash of the owner, the type and the bytes; random for an upload in pieces';
COMMENT ON COLUMN chat_files.user_id IS 'Owner; NULL: a guest';
COMMENT ON COLUMN chat_files.conversation_id IS 'A guest''s conversation, to which the file belongs; of a user, that of an answer in the making, until it is stored; NULL: none';
COMMENT ON COLUMN chat_files.media_type IS 'Its type, which the first bytes have shown';
COMMENT ON COLUMN chat_files.filename IS 'The name under which it came first; NULL: none';
COMMENT ON COLUMN chat_files.size IS 'Bytes of the whole file';
COMMENT ON COLUMN chat_files.bytes IS 'The file; of an upload in pieces, its beginning, and nothing once it is complete';
COMMENT ON COLUMN chat_files.is_upload IS 'It is an upload in pieces, and no file: not checked yet, or another row by now';
COMMENT ON COLUMN chat_files.file_id IS 'Of an upload that is complete: the file that it became, so that its last piece can be sent again';
COMMENT ON COLUMN chat_files.is_used IS 'A message has it, or has had it';
COMMENT ON COLUMN chat_files.created_at IS 'When it was stored last; one that no message has had is deleted a day later';

CREATE TABLE IF NOT EXISTS message_files (
    conversation_id uuid NOT NULL,
    chat_message_id bigint NOT NULL,
    file_id uuid NOT NULL REFERENCES chat_files (id) ON DELETE CASCADE,
    user_id varchar(255),
    PRIMARY KEY (conversation_id, chat_message_id, file_id)
);
-- delete_files_of_messages, find_file: the messages of a file.
CREATE INDEX IF NOT EXISTS idx_message_files_file_id ON message_files (file_id);

COMMENT ON TABLE message_files IS 'Parley: which message has which file';
-- No foreign keys: they would look up the files of each message that retention deletes, one by one. The trigger looks
-- for those of a whole batch at once, and only where a message has any.
COMMENT ON COLUMN message_files.conversation_id IS 'The conversation of the message';
COMMENT ON COLUMN message_files.chat_message_id IS 'chat_messages.id of the message';
COMMENT ON COLUMN message_files.file_id IS 'The file';
COMMENT ON COLUMN message_files.user_id IS 'Owner of the conversation; NULL: anonymous';

-- Deletes the files of deleted messages which no other message has, in the transaction that deletes the messages:
-- retention, an erasure, an account's end, or an operator's own DELETE.
-- The rows are locked before they are looked at again. A message that takes a file at this moment waits, and then stores
-- it once more; or it has committed, and the file stays. Like store_message_files, this locks files in the order of their
-- ids, so that the two do not deadlock.
-- With the rights of its owner, because the caller may not delete files, and sees only some messages.
CREATE OR REPLACE FUNCTION delete_files_of_messages()
RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    freed_ids uuid[];
BEGIN
    -- Nearly all messages have no file.
    IF NOT EXISTS (
        SELECT FROM deleted_messages
        WHERE deleted_messages.files IS NOT NULL OR deleted_messages.steps IS NOT NULL
    ) THEN
        RETURN NULL;
    END IF;
    WITH freed AS (
        DELETE FROM message_files
        USING deleted_messages
        WHERE
            message_files.conversation_id = deleted_messages.conversation_id
            AND message_files.chat_message_id = deleted_messages.id
        RETURNING message_files.file_id
    )

    SELECT array_agg(DISTINCT freed.file_id) INTO freed_ids FROM freed;
    PERFORM FROM chat_files WHERE chat_files.id = any(freed_ids) ORDER BY chat_files.id FOR UPDATE;
    DELETE FROM chat_files
    WHERE
        chat_files.id = any(freed_ids)
        AND NOT EXISTS (SELECT FROM message_files WHERE message_files.file_id = chat_files.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION delete_files_of_messages()
IS 'Parley: deletes the files of deleted messages which no other message has';

DROP TRIGGER IF EXISTS delete_files_of_messages ON chat_messages;
CREATE TRIGGER delete_files_of_messages
AFTER DELETE ON chat_messages
REFERENCING OLD TABLE AS deleted_messages
FOR EACH STATEMENT EXECUTE FUNCTION delete_files_of_messages();
COMMENT ON TRIGGER delete_files_of_messages ON chat_messages
IS 'Parley: files go with the last message that has them, in the same transaction';

ALTER TABLE chat_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE message_files ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_chat_files ON chat_files;
CREATE POLICY own_chat_files ON chat_files TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_chat_files ON chat_files
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

DROP POLICY IF EXISTS own_message_files ON message_files;
CREATE POLICY own_message_files ON message_files TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = nullif(current_setting('parley.conversation_id', TRUE), '')::uuid
        ELSE user_id = nullif(current_setting('parley.user_id', TRUE), '')
    END
);
COMMENT ON POLICY own_message_files ON message_files
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';
