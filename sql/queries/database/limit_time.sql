-- limit_time :one
-- Limit how long each later statement of the round trip may take.
--
-- For steps without a caller; act_as_caller sets the same limits for a caller's. It calls no function of Parley, because
-- it also comes first on a database without any migration. Nothing of it outlives the transaction.
--
-- Parameters
--   timeout_ms  integer  milliseconds that each later statement of the transaction may take
--
-- Returns 1 row: the settings statement_timeout, lock_timeout and client_connection_check_interval.
-- Index none: it reads no table.
SELECT
    set_config('statement_timeout', %(timeout_ms)s::integer::text, TRUE) AS statement_timeout,
    -- A wait for a lock ends before that, with an error of its own: it may be over at the next try.
    set_config('lock_timeout', (%(timeout_ms)s::integer * 9 / 10)::text, TRUE) AS lock_timeout,
    -- A session whose client is gone ends its statement, and the statements that wait behind it.
    set_config('client_connection_check_interval', '2000', TRUE) AS client_connection_check_interval;
