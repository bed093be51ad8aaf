-- count_bytes
-- Adds the bytes of a piece of an upload to the running day of each subject, unless one has reached its limit.
--
-- An upload is no message, so it uses none up; its bytes count with those of messages (count_use). It works outside the
-- wall: callers may not write their counters.
-- Raises PA011 when a subject may not store so many bytes today (DETAIL: the seconds until its day ends; none, if a day
-- is too short for them); the transaction, which stores them, then stores none.
--
-- Parameters
--   counted_subjects  text[]       the subjects, in the order of count_use, so that no two sessions deadlock
--   bytes_per_day     bigint[]     the bytes that each may store in a day; 0: any number
--   stored_bytes      bigint       bytes of the piece
--   counted_at        timestamptz  the time; null: the database's clock
--
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION count_bytes(
    counted_subjects text[],
    bytes_per_day bigint[],
    stored_bytes bigint,
    counted_at timestamptz
)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    counted_now CONSTANT timestamptz := coalesce(counted_at, now());
    day_bytes bigint;
    day_ends timestamptz;
BEGIN
    FOR number IN 1 .. coalesce(cardinality(counted_subjects), 0) LOOP
        INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, byte_count)
        VALUES (
            counted_subjects[number],
            0, counted_now + interval '1 minute', 0, counted_now + interval '1 day', stored_bytes
        )
        ON CONFLICT (subject) DO UPDATE SET
            day_count = CASE WHEN already.day_ends_at <= counted_now THEN 0 ELSE already.day_count END,
            day_ends_at = CASE
                WHEN already.day_ends_at <= counted_now THEN excluded.day_ends_at
                ELSE already.day_ends_at
            END,
            token_count = CASE WHEN already.day_ends_at <= counted_now THEN 0 ELSE already.token_count END,
            byte_count = CASE
                WHEN already.day_ends_at <= counted_now THEN stored_bytes
                ELSE already.byte_count + stored_bytes
            END
        RETURNING already.byte_count, already.day_ends_at INTO day_bytes, day_ends;
        IF bytes_per_day[number] > 0 AND day_bytes > bytes_per_day[number] THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA011',
                MESSAGE = 'the bytes of a day are used up',
                DETAIL = CASE
                    WHEN stored_bytes <= bytes_per_day[number]
                        THEN extract(EPOCH FROM day_ends - counted_now)::text
                    ELSE ''
                END;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION count_bytes(text[], bigint[], bigint, timestamptz)
IS 'Parley: adds the bytes of a piece of an upload to the running day of each subject, or raises PA011';
