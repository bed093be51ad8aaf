-- 007 caller role: a second wall around everybody's data, below the WHERE of each statement.
--
-- The statements of a request run as the role parley_app, which sees the caller's rows and no others.
-- `act_as_caller` puts it on for one transaction, in the round trip of the statements themselves;
-- nothing of it outlives the transaction, so it works through PgBouncer in transaction mode. Who owns
-- the tables (psql, the cron) still sees all.
--
-- Locks: ACCESS EXCLUSIVE on conversations, chat_messages and Parley's own users and tasks, for a moment.
-- An application's own `users` and `tasks` are not altered, so the wall does not stand around them:
-- parley_app is granted its `tasks`, and reads its `users` through functions that show the caller's row.
-- Undo: 007_caller_role.down.sql.

DO $$
BEGIN
    BEGIN
        CREATE ROLE parley_app NOLOGIN;
    EXCEPTION
        -- By another database of this server, perhaps at this moment; or by an administrator.
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_app') THEN
                RAISE;
            END IF;
    END;
    IF NOT pg_has_role(current_user, 'parley_app', 'MEMBER') THEN
        GRANT parley_app TO CURRENT_USER;
    END IF;
    -- From PostgreSQL 16 on, who makes a role is a member of it, but may not act as it.
    IF current_setting('server_version_num')::integer >= 160000 THEN
        IF NOT pg_has_role(current_user, 'parley_app', 'SET') THEN
            GRANT parley_app TO CURRENT_USER;
        END IF;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('the role "%s" may not make the role parley_app, or not act as it', current_user),
            HINT = format(
                'Have an administrator run this, then run the migrations again: %sGRANT parley_app TO %I;',
                CASE WHEN to_regrole('parley_app') IS NULL THEN 'CREATE ROLE parley_app NOLOGIN; ' ELSE '' END,
                current_user
            );
END
$$;

DO $$
BEGIN
    IF NOT has_schema_privilege('parley_app', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO parley_app', current_schema());
    END IF;
END
$$;

GRANT SELECT ON schema_migrations TO parley_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON conversations TO parley_app;
-- Append-only: of a stored message only what marks it can change, and whose it is (a claim).
GRANT SELECT, INSERT ON chat_messages TO parley_app;
GRANT UPDATE (user_id, superseded_at, is_mistake, mistake_note, updated_at) ON chat_messages TO parley_app;

ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;

-- Each setting in a subquery, so that it is read once a statement, not once a row. As CASE, of which the
-- planner has no opinion: the same as OR would let it take the policy for a filter that leaves one row,
-- beside the WHERE that says so already, and sort a whole conversation to show a page of it.
DROP POLICY IF EXISTS own_conversations ON conversations;
CREATE POLICY own_conversations ON conversations TO parley_app
USING (
    CASE
        WHEN user_id IS NULL THEN id = (SELECT nullif(current_setting('parley.conversation_id', TRUE), '')::uuid)
        ELSE user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), ''))
    END
);
COMMENT ON POLICY own_conversations ON conversations
IS 'The caller''s, and the one without an owner whose id the caller knows';

DROP POLICY IF EXISTS own_chat_messages ON chat_messages;
CREATE POLICY own_chat_messages ON chat_messages TO parley_app
USING (
    CASE
        WHEN user_id IS NULL
            THEN conversation_id = (SELECT nullif(current_setting('parley.conversation_id', TRUE), '')::uuid)
        ELSE user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), ''))
    END
);
COMMENT ON POLICY own_chat_messages ON chat_messages
IS 'The caller''s, and those of the conversation without an owner whose id the caller knows';

-- No policy on `users` and no grant: parley_app does not reach it but through the functions below.
DO $$
BEGIN
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
    END IF;
END
$$;

DO $$
DECLARE
    sequence CONSTANT text := pg_get_serial_sequence('tasks', 'id');
BEGIN
    GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO parley_app;
    IF obj_description(to_regclass('tasks'), 'pg_class') LIKE 'Parley:%' THEN
        ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
        DROP POLICY IF EXISTS own_tasks ON tasks;
        CREATE POLICY own_tasks ON tasks TO parley_app
        USING (
            CASE WHEN TRUE THEN user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), '')) END
        );
        COMMENT ON POLICY own_tasks ON tasks IS 'The caller''s';
    ELSIF sequence IS NOT NULL THEN
        -- An id of type serial, whose numbers the role that inserts must be able to draw.
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO parley_app', sequence);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION own_user()
RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER AS $$
    -- As JSON, and of columns that are named: an application's own table may lack some, and have
    -- others that are secret. A view would keep it from changing those columns.
    SELECT jsonb_object_agg(columns.key, columns.value)
    FROM users
    CROSS JOIN LATERAL jsonb_each(to_jsonb(users)) AS columns
    WHERE
        users.id = nullif(current_setting('parley.user_id', TRUE), '')
        AND columns.key IN ('id', 'email', 'name', 'is_active', 'created_at', 'updated_at');
$$;
COMMENT ON FUNCTION own_user()
IS 'Parley: the caller''s row of users, without what is secret; NULL: there is none';

-- NULL: no such user.
CREATE OR REPLACE FUNCTION is_active_user(user_id text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$
    -- As JSON: an application's own table may lack the column. By the function's name: it may have a
    -- column `user_id`, which would be taken instead.
    SELECT coalesce(to_jsonb(users) ->> 'is_active', 'true') = 'true'
    FROM users
    WHERE users.id = is_active_user.user_id;
$$;
COMMENT ON FUNCTION is_active_user(text)
IS 'Parley: may this user use the product? NULL: there is no such user';

CREATE OR REPLACE FUNCTION act_as_caller(user_id text, conversation_id uuid, needs_account boolean)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    is_active CONSTANT boolean := is_active_user(user_id);
BEGIN
    -- Codes of our own, which lib/database/client.py turns into answers. An error, so that nothing after it
    -- in the same round trip happens.
    IF NOT is_active THEN
        RAISE EXCEPTION USING ERRCODE = 'PA001', MESSAGE = 'the account is switched off';
    ELSIF needs_account AND is_active IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PA002', MESSAGE = 'the account was deleted';
    END IF;
    PERFORM set_config('parley.user_id', coalesce(user_id, ''), TRUE);
    PERFORM set_config('parley.conversation_id', coalesce(conversation_id::text, ''), TRUE);
    -- Last: from here to the end of the transaction, this is all that may be done.
    PERFORM set_config('role', 'parley_app', TRUE);
END
$$;
COMMENT ON FUNCTION act_as_caller(text, uuid, boolean)
IS 'Parley: to the end of the transaction, see and change what is this caller''s, and nothing else';

-- They read what parley_app does not reach.
ALTER FUNCTION remember_user(text, text, text) SECURITY DEFINER;
DO $$
BEGIN
    -- Fixed, lest somebody's own table of that name be used; temporary tables come last.
    EXECUTE format('ALTER FUNCTION own_user() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION is_active_user(text) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format(
        'ALTER FUNCTION remember_user(text, text, text) SET search_path = %I, pg_temp', current_schema()
    );
END
$$;

-- Who calls them would be taken for whom a setting names, and anybody can set it: so nobody but who is let in
-- by act_as_caller, and the owner.
REVOKE EXECUTE ON FUNCTION act_as_caller(text, uuid, boolean) FROM public;
REVOKE EXECUTE ON FUNCTION is_active_user(text) FROM public;
REVOKE EXECUTE ON FUNCTION own_user() FROM public;
REVOKE EXECUTE ON FUNCTION remember_user(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION own_user() TO parley_app;
GRANT EXECUTE ON FUNCTION remember_user(text, text, text) TO parley_app;
