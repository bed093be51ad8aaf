-- change_password :one
-- Give a local account another password, and end all its earlier tokens.
--
-- Parameters
--   account_id       text  the account
--   checked_hash     text  the stored hash that the old password was compared with
--   password_hash    text  bcrypt of the new password
--   network_subject  text  the network of this change, which stays known
--
-- Returns 1 row: issued_at, for the new token; null: the account has another password already, or was deleted.
-- Index users_pkey, idx_known_networks_user_id.
-- The function: sql/functions/change_password.sql.
SELECT change_password(
    %(account_id)s::text,
    %(checked_hash)s::text,
    %(password_hash)s::text,
    %(network_subject)s::text
) AS issued_at;
