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
-- Index idx_chat_files_unused, chat_files_pkey.
-- A file that a message takes at this moment is locked, and skipped; one that a message has just taken has is_used by
-- the time of the lock, which looks at the row again.
WITH
unused AS MATERIALIZED (
    SELECT chat_files.id
    FROM chat_files
    WHERE
        NOT chat_files.is_used
        AND chat_files.created_at >= coalesce(%(since)s::timestamptz, '-infinity')
        AND chat_files.created_at < coalesce(%(now)s::timestamptz, now()) - interval '1 day'
    ORDER BY chat_files.created_at
    LIMIT %(batch_size)s::integer
    FOR UPDATE SKIP LOCKED
)

DELETE FROM chat_files
WHERE chat_files.id = any(array(SELECT unused.id FROM unused))
RETURNING chat_files.id, chat_files.created_at;
