-- 004 tasks: the users' tasks, which the assistant can work on for them.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- An application's own `tasks` table is used as it is, never altered.
-- Undo: 004_tasks.down.sql.

DO $$
DECLARE
    missing_columns text;
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
        -- The list of a user's tasks, newest first; and the ON DELETE CASCADE of users.
        CREATE INDEX idx_tasks_user_id ON tasks (user_id, id DESC);
        -- A task by its title, for a user.
        CREATE INDEX idx_tasks_title ON tasks (user_id, title);

        COMMENT ON TABLE tasks IS 'Parley: the users'' tasks';
        COMMENT ON COLUMN tasks.id IS 'Identifier, in the order of creation';
        COMMENT ON COLUMN tasks.user_id IS 'Owner';
        COMMENT ON COLUMN tasks.title IS 'What is to be done, 1 to 200 characters';
        COMMENT ON COLUMN tasks.description IS 'Details, up to 1,000 characters';
        COMMENT ON COLUMN tasks.completed IS 'Is it done?';
        COMMENT ON COLUMN tasks.created_at IS 'When it was added';
        COMMENT ON COLUMN tasks.updated_at IS 'When it was last changed';
    ELSE
        SELECT string_agg(needed.name, ', ') INTO missing_columns
        FROM unnest(
            ARRAY['id', 'user_id', 'title', 'description', 'completed', 'created_at', 'updated_at']
        ) AS needed (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE pg_attribute.attrelid = to_regclass('tasks') AND pg_attribute.attname = needed.name
        );
        IF missing_columns IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'feature_not_supported',
                MESSAGE = format('the existing table "tasks" cannot serve: it lacks %s', missing_columns),
                HINT = 'No table was changed. Add these columns, or give Parley a schema of its own '
                '(CREATE SCHEMA parley; ALTER ROLE <the role in DATABASE_URL> SET search_path = parley;), and run this again.';
        END IF;
    END IF;
END
$$;
