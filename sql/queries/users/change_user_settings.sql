-- change_user_settings :one
-- Set the caller's own instructions for all conversations.
--
-- The user must be stored: remember_user comes before.
--
-- Parameters
--   user_id       text         the caller
--   instructions  text         1 to 4000 characters; null: none
--   now           timestamptz  the time; null: the database's clock
--
-- Returns 1 row: instructions.
-- Index user_settings_pkey.
INSERT INTO user_settings (user_id, instructions, updated_at)
VALUES (%(user_id)s::text, %(instructions)s::text, coalesce(%(now)s::timestamptz, now()))
ON CONFLICT (user_id) DO UPDATE
    SET
        instructions = excluded.instructions,
        updated_at = excluded.updated_at
RETURNING user_settings.instructions;
