-- find_user_settings :one
-- What the caller has set for all conversations.
--
-- Parameters
--   user_id  text  the caller
--
-- Returns 0 or 1 row: instructions (null: none).
-- Index user_settings_pkey.
SELECT user_settings.instructions
FROM user_settings
WHERE user_settings.user_id = %(user_id)s::text;
