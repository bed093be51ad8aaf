-- is_active_user
-- Returns whether a user may use the product.
--
-- Reads the row as JSON, because an application's own table may lack the column is_active.
--
-- Parameters
--   user_id  text  the user
--
-- Returns true, also where there is no such column; false: switched off; null: there is no such user.
-- Index users_pkey.
CREATE OR REPLACE FUNCTION is_active_user(user_id text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    -- The parameter with the function's name: the table may have a column `user_id`, which would take precedence.
    SELECT coalesce(to_jsonb(users) ->> 'is_active', 'true') = 'true'
    FROM users
    WHERE users.id = is_active_user.user_id;
$$;
COMMENT ON FUNCTION is_active_user(text)
IS 'Parley: may this user use the product? NULL: there is no such user';
-- It answers for any user, so only the owner may ask.
REVOKE EXECUTE ON FUNCTION is_active_user(text) FROM public;
