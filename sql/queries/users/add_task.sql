-- add_task :one
-- Add a task for the caller, unless the caller has as many as a user may have.
--
-- Retries are safe: sent again, the statement finds the task that it stored.
--
-- Parameters
--   user_id      text         the caller
--   title        text         1 to 200 characters
--   description  text         up to 1,000 characters
--   added_at     timestamptz  set before the first try, the same in each retry
--   max_tasks    integer      tasks that a user may have
--
-- Returns 0 or 1 row: the columns of list_tasks. 0: the caller has max_tasks tasks.
-- Index idx_tasks_title: the earlier task, and how many there are.
WITH
earlier_task AS (
    SELECT
        tasks.id,
        tasks.title,
        tasks.description,
        tasks.completed,
        tasks.created_at,
        tasks.updated_at
    FROM tasks
    WHERE
        tasks.user_id = %(user_id)s::text
        AND tasks.title = %(title)s::text
        AND tasks.created_at = %(added_at)s::timestamptz
),

added_task AS (
    INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
    SELECT
        %(user_id)s::text,
        %(title)s::text,
        %(description)s::text,
        FALSE,
        %(added_at)s::timestamptz,
        %(added_at)s::timestamptz
    WHERE
        NOT EXISTS (SELECT FROM earlier_task)
        AND %(max_tasks)s::integer > (
            SELECT count(*)
            FROM (
                SELECT
                FROM tasks
                WHERE tasks.user_id = %(user_id)s::text
                LIMIT %(max_tasks)s::integer
            ) AS counted
        )
    RETURNING
        tasks.id,
        tasks.title,
        tasks.description,
        tasks.completed,
        tasks.created_at,
        tasks.updated_at
),

task AS (
    SELECT
        added_task.id,
        added_task.title,
        added_task.description,
        added_task.completed,
        added_task.created_at,
        added_task.updated_at
    FROM added_task
    UNION ALL
    SELECT
        earlier_task.id,
        earlier_task.title,
        earlier_task.description,
        earlier_task.completed,
        earlier_task.created_at,
        earlier_task.updated_at
    FROM earlier_task
)

SELECT
    task.title,
    task.completed,
    task.id::bigint AS id,
    task.created_at::timestamptz AS created_at,
    task.updated_at::timestamptz AS updated_at,
    coalesce(task.description, '') AS description
FROM task;
