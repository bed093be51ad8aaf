-- remember_user :exec
-- Store the caller at the first turn; refresh email and name when the token has new ones.
--
-- Sent before begin_turn, in the same round trip.
--
-- Parameters
--   user_id     text  the caller; null: one with a local account, which is not to come back
--   user_email  text  from the token; null: unknown, keeps what is stored
--   user_name   text  from the token; null: unknown, keeps what is stored
--
-- Index users_pkey; ix_users_email for an address that is new.
-- A function, since an application's own table may lack the columns (001_users.sql).
SELECT remember_user(%(user_id)s::text, %(user_email)s::text, %(user_name)s::text)
WHERE %(user_id)s::text IS NOT NULL;
