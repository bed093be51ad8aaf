-- finish_log_in :one
-- End a log-in whose password was right: take the attempt off again, and remember the network.
--
-- Parameters
--   account_id     text         the account
--   checked_hash   text         the stored hash that the password was compared with
--   new_hash       text         bcrypt of the same password in its normalized form; null: it is that already
--   subjects       text[]       the subjects that the attempt was counted for
--   counted_at     timestamptz  the time of the attempt
--   networks_kept  integer      known networks that an account keeps
--
-- Returns 1 row: issued_at, for the token; null: the account has another password now, or was deleted.
-- Index users_pkey, account_attempts_pkey, known_networks_pkey, idx_known_networks_user_id.
-- The function: sql/functions/finish_log_in.sql.
SELECT finish_log_in(
    %(account_id)s::text,
    %(checked_hash)s::text,
    %(new_hash)s::text,
    %(subjects)s::text[],
    %(counted_at)s::timestamptz,
    %(networks_kept)s::integer
) AS issued_at;
