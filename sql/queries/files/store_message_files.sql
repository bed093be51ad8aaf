-- store_message_files :one
-- Store the files of a message, each once for its owner.
--
-- Parameters, result and indexes: sql/functions/store_message_files.sql.
SELECT
    store_message_files(
        conversation_id => %(conversation_id)s::uuid,
        user_id => %(user_id)s::text,
        message_id => %(message_id)s::text,
        turn_id => %(turn_id)s::uuid,
        file_ids => %(file_ids)s::uuid[],
        media_types => %(media_types)s::text[],
        filenames => %(filenames)s::text[],
        contents => %(contents)s::bytea[],
        max_user_bytes => %(max_user_bytes)s::bigint,
        max_message_bytes => %(max_message_bytes)s::bigint,
        now => %(now)s::timestamptz
    ) AS file_count;
