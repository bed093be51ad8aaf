-- store_file :one
-- Store a file that no message has yet: one that an answer in the making shows, or the first piece of an upload.
--
-- Safe to repeat: a file that is there already counts once. delete_unused_files deletes it a day later, if no message
-- has it by then.
--
-- Parameters
--   conversation_id  uuid         the conversation of a guest, who has no other files; of a user read where the file is of an answer
--   user_id          text         the caller; null: anonymous
--   file_id          uuid         the file
--   media_type       text         its type
--   filename         text         its name; null: none
--   size             bigint       bytes of the whole file
--   content          bytea        the file; of an upload in pieces, the first one
--   is_upload        boolean      more pieces follow
--   is_of_answer     boolean      it goes with the conversation, whose answer is in the making, until a message has it
--   max_user_bytes   bigint       bytes of files that the owner may have; 0: any number
--   now              timestamptz  null: the database's clock
--
-- Returns 1 row: is_reached (false: the guest does not reach the conversation), is_stored, and used_bytes, the bytes of
-- the owner's other files.
-- Index conversations_pkey, chat_files_pkey, idx_chat_files_user_id, idx_chat_files_conversation_id.
WITH
used AS (
    SELECT coalesce(sum(owned.size), 0)::bigint AS bytes
    FROM (
        -- Apart, because no index serves IS NOT DISTINCT FROM.
        SELECT chat_files.size
        FROM chat_files
        WHERE
            chat_files.user_id = %(user_id)s::text
            AND chat_files.id <> %(file_id)s::uuid
            AND chat_files.file_id IS NULL
        UNION ALL
        SELECT chat_files.size
        FROM chat_files
        WHERE
            chat_files.conversation_id = %(conversation_id)s::uuid
            AND chat_files.user_id IS NOT DISTINCT FROM %(user_id)s::text
            AND %(user_id)s::text IS NULL
            AND chat_files.id <> %(file_id)s::uuid
            AND chat_files.file_id IS NULL
    ) AS owned
),

-- A guest's file needs the conversation, which the wall shows only to a caller that reaches it.
reached AS (
    SELECT
        %(user_id)s::text IS NOT NULL
        OR (
            SELECT conversations.id
            FROM conversations
            WHERE
                conversations.id = %(conversation_id)s::uuid
                AND conversations.user_id IS NOT DISTINCT FROM %(user_id)s::text
        ) IS NOT NULL AS is_reached
),

stored AS (
    INSERT INTO chat_files AS already (
        id, user_id, conversation_id, media_type, filename, size, bytes, is_upload, created_at
    )
    SELECT
        %(file_id)s::uuid,
        %(user_id)s::text,
        CASE WHEN %(user_id)s::text IS NULL OR %(is_of_answer)s::boolean THEN %(conversation_id)s::uuid END,
        %(media_type)s::text,
        %(filename)s::text,
        %(size)s::bigint,
        %(content)s::bytea,
        %(is_upload)s::boolean,
        coalesce(%(now)s::timestamptz, now())
    FROM used
    CROSS JOIN reached
    WHERE
        reached.is_reached
        AND (%(max_user_bytes)s::bigint = 0 OR used.bytes + %(size)s::bigint <= %(max_user_bytes)s::bigint)
    ON CONFLICT (id) DO UPDATE
        SET
            filename = coalesce(already.filename, excluded.filename),
            created_at = excluded.created_at
    RETURNING already.id
)

SELECT
    reached.is_reached,
    used.bytes AS used_bytes,
    stored.id IS NOT NULL AS is_stored
FROM used
CROSS JOIN reached
LEFT JOIN stored ON TRUE;
