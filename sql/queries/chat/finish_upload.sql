-- finish_upload :exec
-- Name a complete upload by its bytes, or remove it: where its owner has the same file already, or the file is refused.
--
-- Parameters
--   conversation_id  uuid  a guest's conversation; of a user not read
--   user_id          text  the caller; null: anonymous
--   upload_id        uuid  the upload
--   file_id          uuid  its id from now on, a hash of its owner and its bytes; null: it is refused
--
-- Index chat_files_pkey.
WITH
existing_file AS (
    SELECT chat_files.id
    FROM chat_files
    WHERE
        chat_files.id = %(file_id)s::uuid
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
),

removed_upload AS (
    DELETE FROM chat_files
    WHERE
        chat_files.id = %(upload_id)s::uuid
        AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
        AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
        AND (%(file_id)s::uuid IS NULL OR EXISTS (SELECT FROM existing_file))
    RETURNING chat_files.id
)

UPDATE chat_files
SET id = %(file_id)s::uuid
WHERE
    chat_files.id = %(upload_id)s::uuid
    AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND (chat_files.user_id IS NOT NULL OR chat_files.conversation_id = %(conversation_id)s::uuid)
    AND %(file_id)s::uuid IS NOT NULL
    AND NOT EXISTS (SELECT FROM existing_file)
    AND NOT EXISTS (SELECT FROM removed_upload);
