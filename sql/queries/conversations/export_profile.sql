-- export_profile :many
-- The caller's row of users, without the password hash, the counter of the running day, the known networks, and
-- the user's settings; for the export.
--
-- Parameters
--   user_id        text         the caller
--   quota_subject  text         the caller's subject in `quotas`: a keyed hash, so that nobody can name another's
--   now            timestamptz  the time; null: the database's clock
--
-- Returns 0 to 23 rows: kind ('user', 'quota', 'known_network' or 'user_settings'), and content, a JSON object of the row's columns.
-- Index idx_known_networks_user_id, user_settings_pkey; see also sql/functions/own_user.sql and own_quota.sql.
-- own_user takes the caller from act_as_caller.
SELECT
    'user' AS kind,
    own_user()::text AS content
WHERE own_user() IS NOT NULL
UNION ALL
SELECT
    'quota',
    counter.content::text
FROM own_quota(%(quota_subject)s::text, coalesce(%(now)s::timestamptz, now())) AS counter (content)
WHERE counter.content IS NOT NULL
UNION ALL
SELECT
    'known_network',
    to_jsonb(known_networks)::text
FROM known_networks
WHERE known_networks.user_id = %(user_id)s::text
UNION ALL
SELECT
    'user_settings',
    to_jsonb(user_settings)::text
FROM user_settings
WHERE user_settings.user_id = %(user_id)s::text;
