-- Takes back 004 tasks. Lost: every task, but not an application's own table.

DO $$
BEGIN
    -- Only the table that 004 made carries this comment.
    IF obj_description(to_regclass('tasks'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE tasks;
    END IF;
END
$$;
