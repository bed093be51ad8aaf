-- Takes back 002 users. Lost: every user and local account, but not an application's own table.

DROP FUNCTION IF EXISTS act_as_caller;
DROP FUNCTION IF EXISTS is_active_user;
DROP FUNCTION IF EXISTS own_user;
DROP FUNCTION IF EXISTS remember_user;
DROP FUNCTION IF EXISTS register_account;
DROP FUNCTION IF EXISTS find_account;

DO $$
BEGIN
    -- Only Parley's own table has this comment.
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE users;
    END IF;
END
$$;
