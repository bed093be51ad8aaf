-- add_upload_piece :one
-- Add the next piece to an upload of the caller.
--
-- Safe to repeat: a piece that is there already is not added again, also when the upload has become a file by then.
--
-- Parameters
--   conversation_id  uuid     a guest's conversation; of a user not read
--   user_id          text     the caller; null: anonymous
--   upload_id        uuid     the upload
--   first_byte       bigint   the place of the piece in the file
--   content          bytea    the piece
--   min_piece_bytes  integer  a smaller piece is added only if it is the last one
--
-- Returns 0 or 1 row: media_type, filename and size of the file; received, the bytes that have come by now; whole, all
-- bytes of an upload that is complete, and no file yet; file_id, the file that it has become. 0: the caller has no such
-- upload.
-- Index chat_files_pkey.
WITH
upload AS (
    SELECT
        chat_files.id,
        chat_files.media_type,
        chat_files.filename,
        chat_files.size,
        chat_files.bytes,
        chat_files.file_id,
        CASE
            WHEN chat_files.file_id IS NULL THEN length(chat_files.bytes)::bigint ELSE chat_files.size
        END AS received
    FROM chat_files
    WHERE
        chat_files.id = %(upload_id)s::uuid
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
        AND chat_files.is_upload
    FOR UPDATE
),

grown_upload AS (
    UPDATE chat_files
    SET bytes = chat_files.bytes || %(content)s::bytea
    FROM upload
    WHERE
        chat_files.id = upload.id
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND upload.file_id IS NULL
        AND upload.received = %(first_byte)s::bigint
        AND upload.received + length(%(content)s::bytea) <= upload.size
        AND (
            length(%(content)s::bytea) >= %(min_piece_bytes)s::integer
            OR upload.received + length(%(content)s::bytea) = upload.size
        )
    RETURNING chat_files.bytes
)

SELECT
    upload.media_type,
    upload.filename,
    upload.size,
    upload.file_id,
    coalesce(length(grown_upload.bytes)::bigint, upload.received) AS received,
    CASE
        WHEN upload.file_id IS NULL AND length(coalesce(grown_upload.bytes, upload.bytes)) = upload.size
            THEN coalesce(grown_upload.bytes, upload.bytes)
    END AS whole
FROM upload
LEFT JOIN grown_upload ON TRUE;
