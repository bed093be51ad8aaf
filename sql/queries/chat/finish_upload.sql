-- finish_upload :exec
-- Make a file of a complete upload, or remove the upload, where the file is refused.
--
-- Safe to repeat, and for two uploads of the same file at once. The row of the upload stays without bytes, so that its
-- last piece can be sent again; delete_unused_files deletes it a day later.
--
-- Parameters
--   conversation_id  uuid         a guest's conversation; of a user not read
--   user_id          text         the caller; null: anonymous
--   upload_id        uuid         the upload
--   file_id          uuid         the file, by a hash of its owner and its bytes; null: it is refused
--   now              timestamptz  null: the database's clock
--
-- Index chat_files_pkey.
WITH
upload AS (
    SELECT
        chat_files.id,
        chat_files.media_type,
        chat_files.filename,
        chat_files.size,
        chat_files.bytes
    FROM chat_files
    WHERE
        chat_files.id = %(upload_id)s::uuid
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
        AND chat_files.is_upload
        AND chat_files.file_id IS NULL
    FOR UPDATE
),

removed_upload AS (
    DELETE FROM chat_files
    USING upload
    WHERE
        chat_files.id = upload.id
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND %(file_id)s::uuid IS NULL
    RETURNING chat_files.id
),

stored AS (
    INSERT INTO chat_files AS already (
        id, user_id, conversation_id, media_type, filename, size, bytes, created_at
    )
    SELECT
        %(file_id)s::uuid,
        %(user_id)s::text,
        CASE WHEN %(user_id)s::text IS NULL THEN %(conversation_id)s::uuid END,
        upload.media_type,
        upload.filename,
        upload.size,
        upload.bytes,
        coalesce(%(now)s::timestamptz, now())
    FROM upload
    WHERE %(file_id)s::uuid IS NOT NULL
    ON CONFLICT (id) DO UPDATE
        SET
            filename = coalesce(already.filename, excluded.filename),
            created_at = excluded.created_at
    RETURNING already.id
)

UPDATE chat_files
SET
    bytes = '',
    file_id = stored.id
FROM stored
WHERE
    chat_files.id = %(upload_id)s::uuid
    AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND NOT EXISTS (SELECT FROM removed_upload);
