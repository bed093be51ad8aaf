-- remember_user :exec
-- Store the caller at the first turn; refresh email and name when the token has new ones.
--
-- Without a user_id nothing is stored: the user of a deleted local account must not come back.
-- Parameters, result and indexes: sql/functions/remember_user.sql.
SELECT remember_user(%(user_id)s::text, %(user_email)s::text, %(user_name)s::text, %(token_issued_at)s::timestamptz)
WHERE %(user_id)s::text IS NOT NULL;
