-- count_account_attempt
-- Counts an attempt to log in or to register against each of its subjects, unless one of them has to wait.
--
-- An attempt counts before its password is compared, so that attempts at the same moment all count; finish_log_in
-- takes it off again if the password was right. From the last free attempt of a day on, each doubles the wait for the
-- next. A refused attempt is not counted, so it makes no wait longer. A network from which the account was used counts
-- alone, so that failures elsewhere do not slow it down.
--
-- Parameters
--   subjects        text[]       keyed hashes; first, in a log-in: the address and the network together
--   free_counts     integer[]    attempts that each subject has in a day before it has to wait
--   first_delays    integer[]    seconds of the first wait of each
--   longest_delays  integer[]    seconds of the longest wait of each
--   known_days      integer      days for which a network stays known
--   counted_at      timestamptz  the time of the attempt
--
-- Returns 1 row: is_known, the first subject is a known network; retry_after_seconds (0: it is allowed, and counted).
-- Index account_attempts_pkey, known_networks_pkey.
CREATE OR REPLACE FUNCTION count_account_attempt(
    subjects text[],
    free_counts integer[],
    first_delays integer[],
    longest_delays integer[],
    known_days integer,
    counted_at timestamptz,
    OUT is_known boolean,
    OUT retry_after_seconds double precision
)
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    counted text[] := subjects;
    counter account_attempts;
BEGIN
    is_known := EXISTS (
        SELECT FROM known_networks
        WHERE
            known_networks.subject = subjects[1]
            AND known_networks.used_at > counted_at - make_interval(days => known_days)
    );
    IF is_known THEN
        counted := subjects[1:1];
    END IF;
    -- Looked at first, so that a flood of refused attempts writes nothing.
    retry_after_seconds := coalesce((
        SELECT max(extract(EPOCH FROM least(waiting.next_attempt_at, waiting.ends_at) - counted_at))
        FROM account_attempts AS waiting
        WHERE
            waiting.subject = any(counted)
            AND waiting.next_attempt_at > counted_at
            AND waiting.ends_at > counted_at
    ), 0);
    -- Always in this order, so that no two attempts wait for each other. An attempt that is overtaken by another of
    -- its network stops before it counts for the address.
    FOR i IN 1..cardinality(counted) LOOP
        EXIT WHEN retry_after_seconds > 0;
        INSERT INTO account_attempts AS already (subject, attempt_count, attempted_at, ends_at)
        VALUES (counted[i], 0, counted_at, counted_at + interval '1 day')
        ON CONFLICT (subject) DO UPDATE SET
            attempt_count = CASE WHEN already.ends_at <= counted_at THEN 0 ELSE already.attempt_count END,
            next_attempt_at = CASE WHEN already.ends_at > counted_at THEN already.next_attempt_at END,
            ends_at = CASE WHEN already.ends_at <= counted_at THEN excluded.ends_at ELSE already.ends_at END
        RETURNING already.* INTO counter;
        IF counter.next_attempt_at > counted_at THEN
            retry_after_seconds := extract(EPOCH FROM least(counter.next_attempt_at, counter.ends_at) - counted_at);
        ELSE
            UPDATE account_attempts
            SET
                attempt_count = counter.attempt_count + 1,
                attempted_at = counted_at,
                next_attempt_at = CASE
                    WHEN counter.attempt_count + 1 >= free_counts[i] THEN
                        counted_at + make_interval(secs => least(
                            first_delays[i] * power(2, least(counter.attempt_count + 1 - free_counts[i], 30)),
                            longest_delays[i]
                        ))
                END
            WHERE account_attempts.subject = counted[i];
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION count_account_attempt(text[], integer[], integer[], integer[], integer, timestamptz)
IS 'Parley: counts an attempt to log in or to register, or says how long to wait';
