-- count_use
-- Counts one use for several subjects at once: for all of them, or for none where a limit of one is reached.
--
-- Two uses at the same moment wait for each other at the row, so that none slips through. It works outside the wall:
-- callers may not write their counters.
--
-- Parameters
--   counted_subjects  text[]       the rows that count, from the narrowest subject to the widest: each session locks
--                                  them in this order, so that no two deadlock
--   per_minute        integer[]    for each subject, the uses allowed in a minute; 0: any number
--   per_day           integer[]    the uses allowed in a day; 0: any number
--   bytes_per_day     bigint[]     the bytes that it may store in a day; 0: any number
--   tokens_per_day    bigint[]     the tokens (count_tokens) after which the day allows no further use; 0: any number
--   stored_bytes      bigint       bytes that this use stores; 0: it stores nothing
--   counted_at        timestamptz  the time of the use
--
-- Returns 1 row: is_allowed; subject_number, the position of the subject that all the rest is about: the one that
-- refuses, or else the one with the fewest uses left; refusal, 'uses', 'bytes', 'tokens', or 'size' where this use
-- alone stores more than a day allows (null: it is allowed); minute_remaining and day_remaining, the uses left;
-- minute_reset_seconds and day_reset_seconds, until the counters begin again.
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION count_use(
    counted_subjects text[],
    per_minute integer[],
    per_day integer[],
    bytes_per_day bigint[],
    tokens_per_day bigint[],
    stored_bytes bigint,
    counted_at timestamptz,
    OUT is_allowed boolean,
    OUT subject_number integer,
    OUT refusal text,
    OUT minute_remaining integer,
    OUT minute_reset_seconds double precision,
    OUT day_remaining integer,
    OUT day_reset_seconds double precision
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    minute_limit CONSTANT integer := per_minute[1];
    day_limit CONSTANT integer := per_day[1];
    byte_limit CONSTANT bigint := bytes_per_day[1];
    token_limit CONSTANT bigint := tokens_per_day[1];
    used quotas;
    is_minute_over boolean;
    is_day_over boolean;
    counted record;
    uses_left integer;
    fewest_uses_left integer;
BEGIN
    IF cardinality(counted_subjects) > 1 THEN
        -- A block of its own, because the error at its end takes back what it has counted: also the rows that it has
        -- made, which a caller who is refused could otherwise add without end.
        BEGIN
            FOR number IN 1 .. cardinality(counted_subjects) LOOP
                counted := count_use(
                    counted_subjects[number:number],
                    per_minute[number:number],
                    per_day[number:number],
                    bytes_per_day[number:number],
                    tokens_per_day[number:number],
                    stored_bytes,
                    counted_at
                );
                uses_left := least(
                    CASE WHEN per_minute[number] > 0 THEN counted.minute_remaining END,
                    CASE WHEN per_day[number] > 0 THEN counted.day_remaining END
                );
                IF number = 1 OR NOT counted.is_allowed OR uses_left < coalesce(fewest_uses_left, uses_left + 1) THEN
                    fewest_uses_left := uses_left;
                    is_allowed := counted.is_allowed;
                    subject_number := number;
                    refusal := counted.refusal;
                    minute_remaining := counted.minute_remaining;
                    minute_reset_seconds := counted.minute_reset_seconds;
                    day_remaining := counted.day_remaining;
                    day_reset_seconds := counted.day_reset_seconds;
                END IF;
                IF NOT is_allowed THEN
                    RAISE EXCEPTION USING ERRCODE = 'PA008', MESSAGE = 'a limit is reached';
                END IF;
            END LOOP;
        EXCEPTION
            WHEN SQLSTATE 'PA008' THEN
                NULL;
        END;
        RETURN;
    END IF;

    INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, byte_count)
    SELECT
        counted_subjects[1],
        1, counted_at + interval '1 minute', 1, counted_at + interval '1 day', stored_bytes
    WHERE byte_limit = 0 OR stored_bytes <= byte_limit
    ON CONFLICT (subject) DO UPDATE SET
        minute_count = CASE WHEN already.minute_ends_at <= counted_at THEN 1 ELSE already.minute_count + 1 END,
        minute_ends_at = CASE
            WHEN already.minute_ends_at <= counted_at THEN excluded.minute_ends_at
            ELSE already.minute_ends_at
        END,
        day_count = CASE WHEN already.day_ends_at <= counted_at THEN 1 ELSE already.day_count + 1 END,
        day_ends_at = CASE
            WHEN already.day_ends_at <= counted_at THEN excluded.day_ends_at
            ELSE already.day_ends_at
        END,
        token_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.token_count END,
        byte_count = CASE
            WHEN already.day_ends_at <= counted_at THEN stored_bytes
            ELSE already.byte_count + stored_bytes
        END
    WHERE
        (minute_limit = 0 OR already.minute_count < minute_limit OR already.minute_ends_at <= counted_at)
        AND (
            already.day_ends_at <= counted_at
            OR (
                (day_limit = 0 OR already.day_count < day_limit)
                AND (byte_limit = 0 OR stored_bytes = 0 OR already.byte_count + stored_bytes <= byte_limit)
                AND (token_limit = 0 OR already.token_count < token_limit)
            )
        )
    RETURNING already.* INTO used;
    is_allowed := FOUND;
    subject_number := 1;
    IF NOT is_allowed THEN
        -- No row: the first use of the subject is too large.
        SELECT * INTO used FROM quotas WHERE quotas.subject = counted_subjects[1];
    END IF;
    -- The minute may be over where the day refuses, and the day where the minute does.
    is_minute_over := coalesce(used.minute_ends_at <= counted_at, TRUE);
    is_day_over := coalesce(used.day_ends_at <= counted_at, TRUE);
    IF NOT is_allowed THEN
        -- Of several reasons the one that lasts longest.
        refusal := CASE
            WHEN byte_limit > 0 AND stored_bytes > byte_limit THEN 'size'
            WHEN NOT is_day_over AND day_limit > 0 AND used.day_count >= day_limit THEN 'uses'
            WHEN NOT is_day_over AND token_limit > 0 AND used.token_count >= token_limit THEN 'tokens'
            WHEN NOT is_day_over AND byte_limit > 0 AND used.byte_count + stored_bytes > byte_limit THEN 'bytes'
            ELSE 'uses'
        END;
    END IF;
    minute_remaining := CASE
        WHEN is_minute_over THEN minute_limit
        ELSE greatest(minute_limit - used.minute_count, 0)
    END;
    day_remaining := CASE WHEN is_day_over THEN day_limit ELSE greatest(day_limit - used.day_count, 0) END;
    minute_reset_seconds := greatest(extract(EPOCH FROM used.minute_ends_at - counted_at), 0);
    day_reset_seconds := greatest(extract(EPOCH FROM used.day_ends_at - counted_at), 0);
END
$$;
COMMENT ON FUNCTION count_use(text[], integer[], integer[], bigint[], bigint[], bigint, timestamptz)
IS 'Parley: counts one use for all of several subjects, or for none; returns the uses left of the tightest';
