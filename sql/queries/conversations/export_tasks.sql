-- export_tasks :many
-- A batch of the caller's tasks with every column, oldest first; for the export.
--
-- Parameters
--   user_id     text     the caller
--   cursor_id   text     id of the last row seen; null: the first batch
--   batch_size  integer  rows wanted
--
-- Returns 0 to batch_size rows: id, and content, a JSON object of the row's columns.
-- Index any of tasks that begins with the user.
-- The id is ordered as text, shorter first, which is the order of numbers, because an application's own table
-- may have ids of any type.
SELECT
    tasks.id::text AS id,
    to_jsonb(tasks)::text AS content
FROM tasks
WHERE
    tasks.user_id = %(user_id)s::text
    AND (length(tasks.id::text), tasks.id::text) > (
        length(coalesce(%(cursor_id)s::text, '')), coalesce(%(cursor_id)s::text, '')
    )
ORDER BY length(tasks.id::text), tasks.id::text
LIMIT %(batch_size)s::integer;
