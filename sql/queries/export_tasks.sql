-- export_tasks :many
-- A batch of the caller's tasks with every column, oldest first; for the export.
--
-- Parameters
--   user_id     text     the caller
--   cursor_id   bigint   id of the last row seen; null: the first batch
--   batch_size  integer  rows wanted
--
-- Returns 0 to batch_size rows: id, and content, a JSON object of the row's columns.
-- Index idx_tasks_user_id.
SELECT
    tasks.id::bigint AS id,
    to_jsonb(tasks)::text AS content
FROM tasks
WHERE
    tasks.user_id = %(user_id)s::text
    AND tasks.id > coalesce(%(cursor_id)s::bigint, 0)
ORDER BY tasks.id
LIMIT %(batch_size)s::integer;
