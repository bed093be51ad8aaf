-- export_profile :many
-- The caller's row of users, without the password hash, and the quota counters; for the export.
--
-- Parameters
--   user_id  text  the caller
--
-- Returns 0 to 2 rows: kind ('user' or 'quota'), and content, a JSON object of the row's columns.
-- Index idx_quotas_user_id; own_user takes the caller from act_as_caller.
SELECT
    'user' AS kind,
    own_user()::text AS content
WHERE own_user() IS NOT NULL
UNION ALL
SELECT
    'quota',
    to_jsonb(quotas)::text
FROM quotas
WHERE quotas.user_id = %(user_id)s::text;
