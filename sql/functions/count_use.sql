-- count_use
-- Counts one use against the limits of a minute and of a day, unless a limit is reached already.
--
-- A use that is refused is not counted. Two uses at the same moment wait for each other at the row, so that none
-- slips through. It works outside the wall: callers may read their counters, but not write them.
--
-- Parameters
--   counted_subject  text         the row that counts: a user's id, or the keyed hash of an address
--   counted_user_id  text         the user, if the subject is one; null: it is not
--   per_minute       integer      uses allowed in a minute; 0: any number
--   per_day          integer      uses allowed in a day; 0: any number
--   counted_at       timestamptz  the time of the use
--
-- Returns 1 row: is_allowed; minute_remaining and day_remaining, the uses left; minute_reset_seconds and
-- day_reset_seconds, until the counters begin again.
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION count_use(
    counted_subject text,
    counted_user_id text,
    per_minute integer,
    per_day integer,
    counted_at timestamptz,
    OUT is_allowed boolean,
    OUT minute_remaining integer,
    OUT minute_reset_seconds double precision,
    OUT day_remaining integer,
    OUT day_reset_seconds double precision
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    used quotas;
BEGIN
    INSERT INTO quotas AS already (subject, user_id, minute_count, minute_ends_at, day_count, day_ends_at)
    VALUES (
        counted_subject, counted_user_id,
        1, counted_at + interval '1 minute', 1, counted_at + interval '1 day'
    )
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
        END
    WHERE
        (per_minute = 0 OR already.minute_count < per_minute OR already.minute_ends_at <= counted_at)
        AND (per_day = 0 OR already.day_count < per_day OR already.day_ends_at <= counted_at)
    RETURNING already.* INTO used;
    is_allowed := FOUND;
    IF NOT is_allowed THEN
        SELECT * INTO used FROM quotas WHERE quotas.subject = counted_subject;
    END IF;
    -- The minute may be over where the day's limit is reached.
    minute_remaining := CASE
        WHEN used.minute_ends_at <= counted_at THEN per_minute
        ELSE greatest(per_minute - used.minute_count, 0)
    END;
    day_remaining := CASE
        WHEN used.day_ends_at <= counted_at THEN per_day
        ELSE greatest(per_day - used.day_count, 0)
    END;
    minute_reset_seconds := greatest(extract(EPOCH FROM used.minute_ends_at - counted_at), 0);
    day_reset_seconds := greatest(extract(EPOCH FROM used.day_ends_at - counted_at), 0);
END
$$;
COMMENT ON FUNCTION count_use(text, text, integer, integer, timestamptz)
IS 'Parley: counts one use against the limits of a minute and a day (0: none); returns the uses left';
REVOKE EXECUTE ON FUNCTION count_use(text, text, integer, integer, timestamptz) FROM public;
GRANT EXECUTE ON FUNCTION count_use(text, text, integer, integer, timestamptz) TO parley_app;
