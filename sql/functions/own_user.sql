-- own_user
-- Returns the caller's row of `users` without its secrets.
--
-- It works outside the wall, because parley_app has no access to `users`, and takes the caller from act_as_caller.
-- The result is JSON of named columns, because an application's own table may lack some of them and have secret
-- ones; a view would keep the application from changing those columns.
--
-- Returns a JSON object of id, email, name, is_active, tokens_valid_from, created_at, updated_at, as far as the table has them;
-- null: there is no such user.
-- Index users_pkey.
CREATE OR REPLACE FUNCTION own_user()
RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT jsonb_object_agg(columns.key, columns.value)
    FROM users
    CROSS JOIN LATERAL jsonb_each(to_jsonb(users)) AS columns
    WHERE
        users.id = nullif(current_setting('parley.user_id', TRUE), '')
        AND columns.key IN ('id', 'email', 'name', 'is_active', 'tokens_valid_from', 'created_at', 'updated_at');
$$;
COMMENT ON FUNCTION own_user()
IS 'Parley: the caller''s row of users without its secrets; NULL: there is none';
