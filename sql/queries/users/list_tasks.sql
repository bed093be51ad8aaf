-- list_tasks :many
-- One page of the caller's tasks, newest first.
--
-- Parameters
--   user_id    text     the caller
--   completed  boolean  true: completed tasks only; false: open ones; null: all
--   cursor_id  bigint   id of the last row seen; null: first page
--   page_size  integer  rows wanted, 1 to 200
--
-- Returns 0 to page_size rows: id, title, description, completed, created_at, updated_at.
-- Index idx_tasks_user_id: gives the order, so there is no sort.
-- Casts, because an application's own table may have other types.
SELECT
    tasks.title,
    tasks.completed,
    tasks.id::bigint AS id,
    tasks.created_at::timestamptz AS created_at,
    tasks.updated_at::timestamptz AS updated_at,
    coalesce(tasks.description, '') AS description
FROM tasks
WHERE
    tasks.user_id = %(user_id)s::text
    AND (%(completed)s::boolean IS NULL OR tasks.completed = %(completed)s::boolean)
    AND tasks.id < coalesce(%(cursor_id)s::bigint, 9223372036854775807)
ORDER BY tasks.id DESC
LIMIT %(page_size)s::integer;
