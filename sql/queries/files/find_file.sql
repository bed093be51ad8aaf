-- find_file :one
-- One file of the caller, with its first bytes.
--
-- Parameters
--   conversation_id  uuid         a guest's conversation; of a user not read
--   user_id          text         the caller; null: anonymous
--   file_id          uuid         the file
--   first_byte       integer      the place of the first byte wanted, from 0
--   byte_count       integer      bytes wanted at most
--   retention_days   integer      a file whose messages are older is not found; 0: no limit
--   now              timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: media_type, filename, size (of the whole file) and content, the bytes. 0: there is no such file,
-- or it is an upload that is not complete.
-- Index chat_files_pkey, idx_message_files_file_id; of chat_messages any that begins with the conversation.
SELECT
    chat_files.media_type,
    chat_files.filename,
    chat_files.size,
    substring(
        chat_files.bytes FROM %(first_byte)s::integer + 1 FOR %(byte_count)s::integer
    ) AS content
FROM chat_files
WHERE
    chat_files.id = %(file_id)s::uuid
    AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
    AND NOT chat_files.is_upload
    -- A file is shown as long as one of its messages; before it has one, until the clean-up.
    AND (
        EXISTS (
            SELECT
            FROM message_files
            INNER JOIN chat_messages
                ON
                    message_files.conversation_id = chat_messages.conversation_id
                    AND message_files.chat_message_id = chat_messages.id
            WHERE
                message_files.file_id = chat_files.id
                AND message_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND chat_messages.user_id IS NOT DISTINCT FROM %(user_id)s::text
                AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
        )
        OR NOT chat_files.is_used
    );
