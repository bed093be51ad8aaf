-- finish_log_in
-- Ends a log-in whose password was right: takes the attempt off again, and remembers the network.
--
-- The account is locked until the end, and its password compared with the one that was checked: change_password waits
-- for it, or this function finds the new password. So no token outlives a change of password that it did not know of.
--
-- Parameters
--   account_id     text         the account
--   checked_hash   text         the stored hash that the password was compared with
--   new_hash       text         bcrypt of the same password in its normalized form; null: it is that already
--   subjects       text[]       the subjects that the attempt was counted for; first: the network with the address
--   counted_at     timestamptz  the time of the attempt
--   networks_kept  integer      known networks that an account keeps
--
-- Returns the time of issue for a token; null: the account has another password now, or was deleted.
-- Index users_pkey, account_attempts_pkey, known_networks_pkey, idx_known_networks_user_id.
CREATE OR REPLACE FUNCTION finish_log_in(
    account_id text, checked_hash text, new_hash text, subjects text[], counted_at timestamptz, networks_kept integer
)
RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    valid_from timestamptz;
BEGIN
    IF new_hash IS NULL THEN
        SELECT users.tokens_valid_from INTO valid_from
        FROM users
        WHERE users.id = account_id AND users.hashed_password = checked_hash
        FOR SHARE;
    ELSE
        -- The password is the same, so the tokens stay.
        UPDATE users
        SET hashed_password = new_hash
        WHERE users.id = account_id AND users.hashed_password = checked_hash
        RETURNING users.tokens_valid_from INTO valid_from;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    DELETE FROM account_attempts WHERE account_attempts.subject = subjects[1];
    UPDATE account_attempts
    SET
        attempt_count = greatest(account_attempts.attempt_count - 1, 0),
        -- Nothing had to wait when this attempt was counted.
        next_attempt_at = CASE
            WHEN account_attempts.attempted_at > counted_at THEN account_attempts.next_attempt_at
        END
    WHERE account_attempts.subject = any(subjects[2:]);
    INSERT INTO known_networks AS already (subject, user_id, used_at)
    VALUES (subjects[1], account_id, counted_at)
    ON CONFLICT (subject) DO UPDATE SET
        user_id = excluded.user_id,
        used_at = greatest(already.used_at, excluded.used_at);
    DELETE FROM known_networks
    WHERE
        known_networks.user_id = account_id
        AND known_networks.subject <> all(array(
            SELECT kept.subject
            FROM known_networks AS kept
            WHERE kept.user_id = account_id
            ORDER BY kept.used_at DESC, kept.subject
            LIMIT networks_kept
        ));
    -- Read after the lock. Not before valid_from, even if the clock was set back.
    RETURN greatest(clock_timestamp(), valid_from);
END
$$;
COMMENT ON FUNCTION finish_log_in(text, text, text, text[], timestamptz, integer)
IS 'Parley: ends a log-in whose password was right, and returns the time of issue for its token';
