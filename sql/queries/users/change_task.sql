-- change_task :one
-- Change a task of the caller.
--
-- Parameters
--   task_id      bigint       the task
--   user_id      text         the caller
--   title        text         null: unchanged
--   description  text         null: unchanged
--   completed    boolean      null: unchanged
--   now          timestamptz  the time; null: the database's clock
--
-- Returns 0 or 1 row: the columns of list_tasks.
-- Index idx_tasks_user_id.
UPDATE tasks
SET
    title = coalesce(%(title)s::text, tasks.title),
    description = coalesce(%(description)s::text, tasks.description),
    completed = coalesce(%(completed)s::boolean, tasks.completed),
    updated_at = coalesce(%(now)s::timestamptz, now())
WHERE
    tasks.id = %(task_id)s::bigint
    AND tasks.user_id = %(user_id)s::text
RETURNING
    tasks.title,
    tasks.completed,
    tasks.id::bigint AS id,
    tasks.created_at::timestamptz AS created_at,
    tasks.updated_at::timestamptz AS updated_at,
    coalesce(tasks.description, '') AS description;
