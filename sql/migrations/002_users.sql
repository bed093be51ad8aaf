-- 002 users: the owners of conversations, and local accounts.
--
-- An application's own `users` table is used as it is, and never altered: a foreign key references its `id`, and
-- remember_user writes `email`, `name` and `updated_at` where the table has all three.
--
-- Locks: none on an existing table.
-- Undo: 002_users.down.sql.

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
        -- find_account, register_account; remember_user: is the address another user's?
        CREATE UNIQUE INDEX ix_users_email ON users (email);

        COMMENT ON TABLE users IS 'Parley: users with a turn, and local accounts';
        COMMENT ON COLUMN users.id IS 'The subject (sub) of the user''s token, or made here for a local account';
        COMMENT ON COLUMN users.email IS 'Address in small letters; from the token, or given at registration';
        COMMENT ON COLUMN users.name IS 'Display name';
        COMMENT ON COLUMN users.hashed_password IS 'bcrypt; NULL unless it is a local account';
        COMMENT ON COLUMN users.is_active IS 'false: every request is refused with 403';
        COMMENT ON COLUMN users.created_at IS 'First seen';
        COMMENT ON COLUMN users.updated_at IS 'Last change of email or name';

        -- Without a policy and without a grant: parley_app reaches the table through functions alone.
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
    END IF;
END
$$;
