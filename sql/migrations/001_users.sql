-- 001 users: who may own a conversation.
--
-- Locks: none on an existing table.
-- An application's own `users` table is used as it is, never altered: all that Parley needs of it is
-- an `id` that a foreign key can reference. `email`, `name` and `updated_at` are written where all
-- three exist, and `is_active` is respected where it exists.
-- Undo: 001_users.down.sql.

DO $$
BEGIN
    IF to_regclass('users') IS NULL THEN
        CREATE TABLE users (
            id varchar(255) PRIMARY KEY DEFAULT gen_random_uuid()::text,
            email varchar(255),
            name varchar(255),
            hashed_password varchar(255),
            is_active boolean NOT NULL DEFAULT TRUE,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        -- Read by remember_user (whose address is it?) and by the log in of local accounts.
        CREATE UNIQUE INDEX ix_users_email ON users (email);

        COMMENT ON TABLE users IS 'Parley: the users that were seen, and local accounts';
        COMMENT ON COLUMN users.id IS 'The subject (sub) of the user''s token, or made here for a local account';
        COMMENT ON COLUMN users.email IS 'Address in small letters; from the token, or given at registration';
        COMMENT ON COLUMN users.name IS 'Display name';
        COMMENT ON COLUMN users.hashed_password IS 'bcrypt; NULL unless it is a local account';
        COMMENT ON COLUMN users.is_active IS 'false: every request is refused with 403';
        COMMENT ON COLUMN users.created_at IS 'First seen';
        COMMENT ON COLUMN users.updated_at IS 'Last change of email or name';
    ELSIF NOT EXISTS (
        SELECT FROM pg_attribute AS id_column
        INNER JOIN pg_index AS key ON id_column.attrelid = key.indrelid
        WHERE
            id_column.attrelid = to_regclass('users')
            AND id_column.attname = 'id'
            AND id_column.atttypid IN ('varchar'::regtype, 'text'::regtype)
            AND key.indisunique
            AND key.indpred IS NULL
            AND key.indnkeyatts = 1
            AND key.indkey[0] = id_column.attnum
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'the existing table "users" cannot serve: it has no column "id" of type varchar or text with a primary key or unique constraint',
            HINT = 'No table was changed. Give Parley a schema of its own and run this again: '
            'CREATE SCHEMA parley; ALTER ROLE <the role in DATABASE_URL> IN DATABASE <database> SET search_path = parley;';
    END IF;
END
$$;

-- Called in begin_turn's round trip. Two definitions, for a table with and without a profile: one
-- that names a column which an application's own table lacks would fail on each call. Parameters by the
-- function's name: a column that is called like one would be taken instead.
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
        RETURNS void LANGUAGE sql VOLATILE AS $$
            -- An address that another account has is not taken over, and is no reason to refuse.
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

            -- Somebody else took the address at this very moment.
            INSERT INTO users (id, name)
            SELECT remember_user.user_id, remember_user.user_name
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
        $$;
    ELSE
        CREATE OR REPLACE FUNCTION remember_user(user_id text, user_email text, user_name text)
        RETURNS void LANGUAGE sql VOLATILE AS $$
            INSERT INTO users (id)
            SELECT remember_user.user_id
            WHERE NOT EXISTS (SELECT FROM users WHERE users.id = remember_user.user_id)
            ON CONFLICT DO NOTHING;
        $$;
    END IF;
END
$create$;
COMMENT ON FUNCTION remember_user(text, text, text)
IS 'Parley: store a token''s user, or refresh email and name';
