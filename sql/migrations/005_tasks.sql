-- 005 tasks: the users' tasks, which the assistant's tools work on.
--
-- An application's own `tasks` table is used as it is, and never altered; so row-level security does not guard it.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- Undo: 005_tasks.down.sql.

DO $$
BEGIN
    IF to_regclass('tasks') IS NULL THEN
        CREATE TABLE tasks (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id varchar(255) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            title varchar(200) NOT NULL,
            description varchar(1000) DEFAULT '',
            completed boolean NOT NULL DEFAULT FALSE,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT chk_task_title CHECK (length(title) >= 1)
        );
        -- list_tasks: the order of the page; change_task, delete_task; and the ON DELETE CASCADE of users.
        CREATE INDEX idx_tasks_user_id ON tasks (user_id, id DESC);
        -- add_task: was it added by an earlier try?
        CREATE INDEX idx_tasks_title ON tasks (user_id, title);

        COMMENT ON TABLE tasks IS 'Parley: the users'' tasks';
        COMMENT ON COLUMN tasks.id IS 'Identifier, in the order of creation';
        COMMENT ON COLUMN tasks.user_id IS 'Owner';
        COMMENT ON COLUMN tasks.title IS 'The task in 1 to 200 characters';
        COMMENT ON COLUMN tasks.description IS 'Details, up to 1,000 characters';
        COMMENT ON COLUMN tasks.completed IS 'Is it done?';
        COMMENT ON COLUMN tasks.created_at IS 'When it was added';
        COMMENT ON COLUMN tasks.updated_at IS 'When it was last changed';
    END IF;
END
$$;

DO $$
BEGIN
    IF obj_description(to_regclass('tasks'), 'pg_class') LIKE 'Parley:%' THEN
        ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS own_tasks ON tasks;
        CREATE POLICY own_tasks ON tasks TO parley_app
        USING (
            CASE WHEN TRUE THEN user_id = nullif(current_setting('parley.user_id', TRUE), '') END
        );
        COMMENT ON POLICY own_tasks ON tasks IS 'The caller''s';
    END IF;
END
$$;
