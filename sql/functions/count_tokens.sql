-- count_tokens
-- Adds the tokens of a request to the model to the running day of each subject.
--
-- Tokens are known after the request, so this counts and never refuses: count_use refuses the next use. It works
-- outside the wall: callers may not write their counters.
--
-- Parameters
--   counted_subjects  text[]       the subjects, in the order of count_use, so that no two sessions deadlock; null: none
--   counted_tokens    integer      tokens that the model has read and written; null or 0: none
--   counted_at        timestamptz  the time of the request
--
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION count_tokens(counted_subjects text[], counted_tokens integer, counted_at timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF coalesce(counted_tokens, 0) <= 0 THEN
        RETURN;
    END IF;
    FOR number IN 1 .. coalesce(cardinality(counted_subjects), 0) LOOP
        -- The day may have ended while the answer was made, and the clean-up may have deleted the row.
        INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at, token_count)
        VALUES (
            counted_subjects[number],
            0, counted_at + interval '1 minute', 0, counted_at + interval '1 day', counted_tokens
        )
        ON CONFLICT (subject) DO UPDATE SET
            day_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.day_count END,
            day_ends_at = CASE
                WHEN already.day_ends_at <= counted_at THEN excluded.day_ends_at
                ELSE already.day_ends_at
            END,
            byte_count = CASE WHEN already.day_ends_at <= counted_at THEN 0 ELSE already.byte_count END,
            token_count = CASE
                WHEN already.day_ends_at <= counted_at THEN counted_tokens
                ELSE already.token_count + counted_tokens
            END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION count_tokens(text[], integer, timestamptz)
IS 'Parley: adds the tokens of a request to the model to the running day of each subject';
