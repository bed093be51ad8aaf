-- delete_task :one
-- Delete a task of the caller.
--
-- Parameters
--   task_id  bigint  the task
--   user_id  text    the caller
--
-- Returns 0 or 1 row: the columns of list_tasks, before the deletion.
-- Index idx_tasks_user_id.
DELETE FROM tasks
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
