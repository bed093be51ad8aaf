-- export_files :many
-- A batch of the caller's files with every column but their bytes; for the export.
--
-- Parameters
--   user_id         text         the caller
--   retention_days  integer      a file whose messages are older is not shown; 0: no limit
--   cursor_id       uuid         id of the last row seen; null: the first batch
--   batch_size      integer      rows wanted
--   now             timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: id; size, the bytes that there are; and content, a JSON object of the row's columns
-- except bytes, with message_ids, the chat_messages.id of each of its messages.
-- A scalar subquery: the messages of each file are looked up by an index in every plan.
-- Index idx_chat_files_user_id, idx_message_files_file_id; of chat_messages any that begins with the conversation.
SELECT
    chat_files.id,
    length(chat_files.bytes)::bigint AS size,
    jsonb_build_object(
        'id', chat_files.id,
        'user_id', chat_files.user_id,
        'conversation_id', chat_files.conversation_id,
        'media_type', chat_files.media_type,
        'filename', chat_files.filename,
        'size', chat_files.size,
        'is_upload', chat_files.is_upload,
        'file_id', chat_files.file_id,
        'is_used', chat_files.is_used,
        'created_at', chat_files.created_at,
        'message_ids', coalesce(messages.ids, '{}')
    )::text AS content
FROM chat_files
CROSS JOIN
    LATERAL (
        SELECT
            array_agg(message_files.chat_message_id ORDER BY message_files.chat_message_id) AS ids,
            bool_or(
                (
                    SELECT chat_messages.id
                    FROM chat_messages
                    WHERE
                        chat_messages.conversation_id = message_files.conversation_id
                        AND chat_messages.user_id = %(user_id)s::text
                        AND chat_messages.id = message_files.chat_message_id
                        AND is_kept(chat_messages.created_at, %(retention_days)s::integer, %(now)s::timestamptz)
                ) IS NOT NULL
            ) AS has_kept
        FROM message_files
        WHERE
            message_files.file_id = chat_files.id
            AND message_files.user_id = %(user_id)s::text
    ) AS messages
WHERE
    chat_files.user_id = %(user_id)s::text
    AND chat_files.id > coalesce(%(cursor_id)s::uuid, '00000000-0000-0000-0000-000000000000')
    AND coalesce(messages.has_kept, TRUE)
ORDER BY chat_files.id
LIMIT %(batch_size)s::integer;
