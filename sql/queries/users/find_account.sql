-- find_account :one
-- The user that an e-mail address belongs to, to compare the password; for the log in alone.
--
-- Parameters
--   email  text  in small letters
--
-- Returns 0 or 1 row: id, name, hashed_password (null: no local account), is_active, created_at.
-- Index ix_users_email.
-- The function: sql/functions/find_account.sql.
SELECT
    found.id,
    found.name,
    found.hashed_password,
    found.is_active,
    found.created_at
FROM find_account(%(email)s::text) AS found;
