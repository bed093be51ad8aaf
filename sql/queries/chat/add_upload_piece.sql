-- add_upload_piece :one
-- Add the next piece to an upload of the caller.
--
-- Safe to repeat: a piece that is there already is not added again.
--
-- Parameters
--   conversation_id  uuid    a guest's conversation; of a user not read
--   user_id          text    the caller; null: anonymous
--   file_id          uuid    the upload
--   first_byte       bigint  the place of the piece in the file
--   content          bytea   the piece
--
-- Returns 0 or 1 row: media_type, filename and size of the file, and received, the bytes that have come by now. 0: the
-- caller has no such upload.
-- Index chat_files_pkey.
WITH
upload AS (
    SELECT
        chat_files.id,
        chat_files.media_type,
        chat_files.filename,
        chat_files.size,
        length(chat_files.bytes)::bigint AS received
    FROM chat_files
    WHERE
        chat_files.id = %(file_id)s::uuid
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
    FOR UPDATE
),

grown_upload AS (
    UPDATE chat_files
    SET bytes = chat_files.bytes || %(content)s::bytea
    FROM upload
    WHERE
        chat_files.id = upload.id
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND upload.received = %(first_byte)s::bigint
        AND upload.received + length(%(content)s::bytea) <= upload.size
    RETURNING length(chat_files.bytes)::bigint AS received
)

SELECT
    upload.media_type,
    upload.filename,
    upload.size,
    coalesce(grown_upload.received, upload.received) AS received
FROM upload
LEFT JOIN grown_upload ON TRUE;
