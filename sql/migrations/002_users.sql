-- 002 users: the owners of conversations, and local accounts with the attempts to log in to them.
--
-- An application's own `users` table is used as it is, and never altered: a foreign key references its `id`, and
-- remember_user writes `email`, `name` and `updated_at` where the table has all three.
--
-- Locks: SHARE ROW EXCLUSIVE on an existing users, for a moment (a foreign key of an empty table).
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
            tokens_valid_from timestamptz,
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
        COMMENT ON COLUMN users.tokens_valid_from
        IS 'Tokens issued before are refused with 401: a new password, or sign_out_everywhere; NULL: none are';
        COMMENT ON COLUMN users.created_at IS 'First seen';
        COMMENT ON COLUMN users.updated_at IS 'Last change of email or name';

        -- Without a policy and without a grant: parley_app reaches the table through functions alone.
        ALTER TABLE users ENABLE ROW LEVEL SECURITY;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS account_attempts (
    subject varchar(300) PRIMARY KEY,
    attempt_count integer NOT NULL,
    attempted_at timestamptz NOT NULL,
    next_attempt_at timestamptz,
    ends_at timestamptz NOT NULL
);

-- delete_old_account_attempts: counters whose day is over.
CREATE INDEX IF NOT EXISTS idx_account_attempts_ends_at ON account_attempts (ends_at);

COMMENT ON TABLE account_attempts IS 'Parley: failed log-ins and all registrations of a day, a row for each subject';
COMMENT ON COLUMN account_attempts.subject
IS 'The kind of attempt, and the keyed hash of an address, of a client''s network, or of both';
COMMENT ON COLUMN account_attempts.attempt_count
IS 'Attempts in the day that ends at ends_at; a log-in that succeeds is taken off again';
COMMENT ON COLUMN account_attempts.attempted_at IS 'The latest of them';
COMMENT ON COLUMN account_attempts.next_attempt_at IS 'Attempts before are refused with 429; NULL: none are';
COMMENT ON COLUMN account_attempts.ends_at IS 'A day after the first attempt that it counts';

-- Without a policy and without a grant: no caller reads it, and no row names a user.
ALTER TABLE account_attempts ENABLE ROW LEVEL SECURITY;

CREATE TABLE IF NOT EXISTS known_networks (
    subject varchar(300) PRIMARY KEY,
    user_id varchar(255) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    used_at timestamptz NOT NULL
);

-- finish_log_in, change_password, export_profile, delete_own_account, and the ON DELETE CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_known_networks_user_id ON known_networks (user_id);
-- delete_old_known_networks: those that were not used for long.
CREATE INDEX IF NOT EXISTS idx_known_networks_used_at ON known_networks (used_at);

COMMENT ON TABLE known_networks
IS 'Parley: networks from which a local account was used; failures elsewhere do not slow their log-ins down';
COMMENT ON COLUMN known_networks.subject IS 'Keyed hash of the account''s address and the client''s network';
COMMENT ON COLUMN known_networks.user_id IS 'The account';
COMMENT ON COLUMN known_networks.used_at IS 'The latest log-in from there that succeeded';

-- A table of its own, because `users` may be the application's.
CREATE TABLE IF NOT EXISTS user_settings (
    user_id varchar(255) PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    instructions text,
    updated_at timestamptz NOT NULL,
    CONSTRAINT chk_user_instructions CHECK (length(instructions) BETWEEN 1 AND 4000)
);

COMMENT ON TABLE user_settings IS 'Parley: what users have set for all their conversations';
COMMENT ON COLUMN user_settings.user_id IS 'The user';
COMMENT ON COLUMN user_settings.instructions
IS 'What the user wants the model to know or to do in every conversation; NULL: nothing';
COMMENT ON COLUMN user_settings.updated_at IS 'When it was last changed';

ALTER TABLE user_settings ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_user_settings ON user_settings;
CREATE POLICY own_user_settings ON user_settings TO parley_app
USING (
    CASE WHEN TRUE THEN user_id = nullif(current_setting('parley.user_id', TRUE), '') END
);
COMMENT ON POLICY own_user_settings ON user_settings IS 'The caller''s';

-- The tokens of a deleted user outlive the user. A hash, because the table must not keep whom it forgets.
CREATE TABLE IF NOT EXISTS deleted_users (
    id_hash bytea PRIMARY KEY,
    deleted_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL
);

-- delete_old_deleted_users: those whose time is over.
CREATE INDEX IF NOT EXISTS idx_deleted_users_ends_at ON deleted_users (ends_at);

COMMENT ON TABLE deleted_users IS 'Parley: users that were deleted; their earlier tokens are refused until ends_at';
COMMENT ON COLUMN deleted_users.id_hash IS 'SHA-256 of the user''s id';
COMMENT ON COLUMN deleted_users.deleted_at IS 'Tokens issued before are refused with 403';
COMMENT ON COLUMN deleted_users.ends_at IS '30 days after deleted_at: the clean-up deletes the row then';

-- With each deletion of a user, whoever deletes: the account's owner, an operator by hand, a replayed erasure.
CREATE OR REPLACE FUNCTION remember_deleted_users()
RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    -- After the rows are locked, so a token that was issued for them is older.
    deleted_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    -- No token of the usual
    -- identity providers lives longer than 30 days (Auth.js; others: minutes to a week).
    INSERT INTO deleted_users (id_hash, deleted_at, ends_at)
    SELECT
        sha256(convert_to(gone_users.id, 'UTF8')),
        deleted_at,
        deleted_at + interval '30 days'
    FROM gone_users
    ON CONFLICT (id_hash) DO UPDATE SET deleted_at = excluded.deleted_at, ends_at = excluded.ends_at;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION remember_deleted_users()
IS 'Parley: has the earlier tokens of deleted users refused';

DO $$
BEGIN
    -- Only on Parley's own table.
    IF obj_description('users'::regclass, 'pg_class') LIKE 'Parley:%' THEN
        DROP TRIGGER IF EXISTS remember_deleted_users ON users;
        CREATE TRIGGER remember_deleted_users
        AFTER DELETE ON users
        REFERENCING OLD TABLE AS gone_users
        FOR EACH STATEMENT EXECUTE FUNCTION remember_deleted_users();
        COMMENT ON TRIGGER remember_deleted_users ON users
        IS 'Parley: the tokens of a user end with the user, in the same transaction';
    END IF;
END
$$;

-- Without a policy and without a grant, as users: act_as_caller and remember_user read it.
ALTER TABLE deleted_users ENABLE ROW LEVEL SECURITY;

ALTER TABLE known_networks ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own_known_networks ON known_networks;
CREATE POLICY own_known_networks ON known_networks TO parley_app
USING (user_id = nullif(current_setting('parley.user_id', TRUE), ''));
COMMENT ON POLICY own_known_networks ON known_networks IS 'The caller''s, to read; only the log-in writes';
