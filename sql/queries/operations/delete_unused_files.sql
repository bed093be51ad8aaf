-- delete_unused_files :many
-- Delete a batch of files that no message has had for a day, of all callers; for the cron alone.
--
-- Uploads that were not sent, and files of answers that were never stored.
--
-- Parameters
--   batch_size  integer      rows to delete at most
--   since       timestamptz  the latest created_at of the previous batch; null: start with the oldest
--   now         timestamptz  the time; null: the database's clock
--
-- Returns 0 to batch_size rows: id, created_at; fewer than batch_size: no such file is left.
-- Index idx_chat_files_created_at, idx_message_files_file_id, chat_files_pkey.
-- The lock comes before the second look: a message that takes the file at this moment holds it.
WITH
unused AS MATERIALIZED (
    SELECT
        chat_files.id,
        chat_files.created_at
    FROM chat_files
    WHERE
        chat_files.created_at >= coalesce(%(since)s::timestamptz, '-infinity')
        AND chat_files.created_at < coalesce(%(now)s::timestamptz, now()) - interval '1 day'
        AND (
            SELECT message_files.file_id
            FROM message_files
            WHERE message_files.file_id = chat_files.id
            LIMIT 1
        ) IS NULL
    ORDER BY chat_files.created_at
    LIMIT %(batch_size)s::integer
    FOR UPDATE SKIP LOCKED
)

DELETE FROM chat_files
WHERE chat_files.id = any(array(SELECT unused.id FROM unused))
RETURNING chat_files.id, chat_files.created_at;
