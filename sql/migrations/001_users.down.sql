-- Takes back 001 users. Lost: every user and local account, but not an application's own table.

DROP FUNCTION IF EXISTS remember_user(text, text, text);

DO $$
BEGIN
    -- Only the table that 001 made carries this comment.
    IF obj_description(to_regclass('users'), 'pg_class') LIKE 'Parley:%' THEN
        DROP TABLE users;
    END IF;
END
$$;
