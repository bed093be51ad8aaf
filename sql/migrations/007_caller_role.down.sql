-- Takes back 007 caller role. Lost: nothing stored; the role parley_app itself, unless another database
-- uses it.

DROP FUNCTION IF EXISTS act_as_caller(text, uuid, boolean);
DROP FUNCTION IF EXISTS is_active_user(text);
DROP FUNCTION IF EXISTS own_user();
ALTER FUNCTION remember_user(text, text, text) SECURITY INVOKER RESET search_path;
REVOKE ALL ON FUNCTION remember_user(text, text, text) FROM parley_app;
GRANT EXECUTE ON FUNCTION remember_user(text, text, text) TO public;

DO $$
BEGIN
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        ALTER TABLE users DISABLE ROW LEVEL SECURITY;
    END IF;
    IF obj_description(to_regclass('tasks'), 'pg_class') LIKE 'Parley:%' THEN
        DROP POLICY IF EXISTS own_tasks ON tasks;
        ALTER TABLE tasks DISABLE ROW LEVEL SECURITY;
    ELSIF pg_get_serial_sequence('tasks', 'id') IS NOT NULL THEN
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM parley_app', pg_get_serial_sequence('tasks', 'id'));
    END IF;
END
$$;
DROP POLICY IF EXISTS own_chat_messages ON chat_messages;
DROP POLICY IF EXISTS own_conversations ON conversations;
ALTER TABLE chat_messages DISABLE ROW LEVEL SECURITY;
ALTER TABLE conversations DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON schema_migrations, conversations, chat_messages, tasks FROM parley_app;

DO $$
BEGIN
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM parley_app', current_schema());
END
$$;
DO $$
BEGIN
    DROP ROLE parley_app;
EXCEPTION
    -- Other databases of this server have it too; or an administrator made it.
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
END
$$;
