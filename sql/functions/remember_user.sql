-- remember_user
-- Stores a token's user at the first turn; refreshes email and name when the token has new ones.
--
-- begin_turn calls it, and other steps that store rows of a user send it before them. It works outside the wall, because parley_app has no access to
-- `users`. There are two definitions, for a `users` table with and without a profile: a statement that names a
-- column which an application's own table lacks would fail on every call. The names of parameters stand with the
-- function's name, because a column of the same name would take precedence.
--
-- Parameters
--   user_id          text         the caller
--   user_email       text         from the token; null: unknown, keeps the stored one
--   user_name        text         from the token; null: unknown, keeps the stored one
--   token_issued_at  timestamptz  when the token was issued; null: the token does not say, so it counts as old
--
-- Raises PA014 when the user was deleted after the token was issued, by a request that ended after this one was let in.
-- A user who was deleted, and comes back with a later token, stays signed out of the earlier ones.
-- Index users_pkey; ix_users_email for a new address; deleted_users_pkey for a new user.
DO $create$
BEGIN
    IF 3 = (
        SELECT count(*) FROM pg_attribute
        WHERE
            pg_attribute.attrelid = 'users'::regclass
            AND pg_attribute.attname IN ('email', 'name', 'updated_at')
            AND NOT pg_attribute.attisdropped
    ) THEN
        CREATE OR REPLACE FUNCTION remember_user(
            user_id text, user_email text, user_name text, token_issued_at timestamptz
        )
        RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        #variable_conflict use_variable
        DECLARE
            free_email text;
            deleted_at timestamptz;
        BEGIN
            -- Nearly every turn.
            IF EXISTS (
                SELECT FROM users
                WHERE
                    users.id = remember_user.user_id
                    AND users.email IS NOT DISTINCT FROM coalesce(remember_user.user_email, users.email)
                    AND users.name IS NOT DISTINCT FROM coalesce(remember_user.user_name, users.name)
            ) THEN
                RETURN;
            END IF;
            -- The address of another account is not taken over; the user is stored without it.
            IF NOT EXISTS (
                SELECT FROM users
                WHERE users.email = remember_user.user_email AND users.id <> remember_user.user_id
            ) THEN
                free_email := remember_user.user_email;
            END IF;
            UPDATE users
            SET
                email = coalesce(free_email, users.email),
                name = coalesce(remember_user.user_name, users.name),
                updated_at = now()
            WHERE
                users.id = remember_user.user_id
                AND (users.email, users.name) IS DISTINCT FROM
                (coalesce(free_email, users.email), coalesce(remember_user.user_name, users.name));
            IF EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id) THEN
                RETURN;
            END IF;
            SELECT deleted_users.deleted_at INTO deleted_at
            FROM deleted_users
            WHERE
                deleted_users.id_hash = sha256(convert_to(remember_user.user_id, 'UTF8'))
                AND deleted_users.ends_at > now();
            IF deleted_at > coalesce(token_issued_at, '-infinity') THEN
                RAISE EXCEPTION USING ERRCODE = 'PA014', MESSAGE = 'the account was deleted';
            END IF;
            INSERT INTO users (id, email, name)
            SELECT remember_user.user_id, free_email, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
            -- Only if another session stored the address at this moment: the INSERT above then did nothing.
            INSERT INTO users (id, name)
            SELECT remember_user.user_id, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
            -- By itself: an application's own table, whose deletions are not marked, may lack the column.
            IF deleted_at IS NOT NULL THEN
                UPDATE users
                SET tokens_valid_from = greatest(users.tokens_valid_from, deleted_at)
                WHERE users.id = remember_user.user_id;
            END IF;
        END
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION remember_user(
            user_id text, user_email text, user_name text, token_issued_at timestamptz
        )
        RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id) THEN
                INSERT INTO users (id) VALUES (remember_user.user_id) ON CONFLICT DO NOTHING;
            END IF;
        END
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION remember_user(text, text, text, timestamptz)
IS 'Parley: stores a token''s user, or refreshes email and name';
