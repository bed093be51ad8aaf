-- change_password
-- Gives a local account another password, and ends all its earlier tokens.
--
-- The networks from which the account was used are forgotten, except the one of this change: the old password may have
-- been in the wrong hands.
--
-- Parameters
--   account_id       text  the account
--   checked_hash     text  the stored hash that the old password was compared with
--   password_hash    text  bcrypt of the new password
--   network_subject  text  the network of this change
--
-- Returns the time from which tokens are valid; null: the account has another password already, or was deleted.
-- Index users_pkey, idx_known_networks_user_id.
CREATE OR REPLACE FUNCTION change_password(
    account_id text, checked_hash text, password_hash text, network_subject text
)
RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    valid_from timestamptz;
BEGIN
    SELECT users.tokens_valid_from INTO valid_from
    FROM users
    WHERE users.id = account_id AND users.hashed_password = checked_hash
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- Read after the lock, so that it is later than the token of each log-in that had the lock before.
    valid_from := greatest(clock_timestamp(), valid_from + interval '1 microsecond');
    UPDATE users
    SET
        hashed_password = password_hash,
        tokens_valid_from = valid_from
    WHERE users.id = account_id;
    DELETE FROM known_networks
    WHERE known_networks.user_id = account_id AND known_networks.subject <> network_subject;
    RETURN valid_from;
END
$$;
COMMENT ON FUNCTION change_password(text, text, text, text)
IS 'Parley: gives a local account another password, and returns the time from which tokens are valid';
