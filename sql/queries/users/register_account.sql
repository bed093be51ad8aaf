-- register_account :one
-- Make a local account.
--
-- Parameters
--   user_id          text  of the new user; the same in a repeated try
--   email            text  in small letters
--   name             text  null: none given
--   hashed_password  text  bcrypt
--
-- Returns 1 row: user_id; null: the address has an account already.
-- Index ix_users_email.
-- The function: sql/functions/register_account.sql.
SELECT register_account(
    %(user_id)s::text, %(email)s::text, %(name)s::text, %(hashed_password)s::text
) AS user_id;
