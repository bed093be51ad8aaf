-- remember_user
-- Stores a token's user at the first turn; refreshes email and name when the token has new ones.
--
-- Called before begin_turn, in the same round trip. It works outside the wall, because parley_app has no access to
-- `users`. There are two definitions, for a `users` table with and without a profile: a statement that names a
-- column which an application's own table lacks would fail on every call. The names of parameters stand with the
-- function's name, because a column of the same name would take precedence.
--
-- Parameters
--   user_id     text  the caller
--   user_email  text  from the token; null: unknown, keeps the stored one
--   user_name   text  from the token; null: unknown, keeps the stored one
--
-- Index users_pkey; ix_users_email for a new address.
DO $create$
BEGIN
    IF 3 = (
        SELECT count(*) FROM pg_attribute
        WHERE
            pg_attribute.attrelid = 'users'::regclass
            AND pg_attribute.attname IN ('email', 'name', 'updated_at')
            AND NOT pg_attribute.attisdropped
    ) THEN
        CREATE OR REPLACE FUNCTION remember_user(user_id text, user_email text, user_name text)
        RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
            -- The address of another account is not taken over; the user is stored without it.
            WITH profile AS (
                SELECT
                    remember_user.user_name AS name,
                    CASE
                        WHEN NOT EXISTS (
                            SELECT FROM users AS other
                            WHERE other.email = remember_user.user_email AND other.id <> remember_user.user_id
                        ) THEN remember_user.user_email
                    END AS email
            ),
            refreshed_user AS (
                UPDATE users
                SET
                    email = coalesce(profile.email, users.email),
                    name = coalesce(profile.name, users.name),
                    updated_at = now()
                FROM profile
                WHERE
                    users.id = remember_user.user_id
                    AND (users.email, users.name) IS DISTINCT FROM
                    (coalesce(profile.email, users.email), coalesce(profile.name, users.name))
            )
            INSERT INTO users (id, email, name)
            SELECT remember_user.user_id, profile.email, profile.name
            FROM profile
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;

            -- Only if another session stored the address at this moment: the INSERT above then did nothing.
            INSERT INTO users (id, name)
            SELECT remember_user.user_id, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION remember_user(user_id text, user_email text, user_name text)
        RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
            INSERT INTO users (id)
            SELECT remember_user.user_id
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION remember_user(text, text, text)
IS 'Parley: stores a token''s user, or refreshes email and name';
REVOKE EXECUTE ON FUNCTION remember_user(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION remember_user(text, text, text) TO parley_app;
