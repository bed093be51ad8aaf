-- count_guess
-- Counts a guess of a client at a conversation, and refuses a client that has guessed too often.
--
-- 60 in a minute and 1,000 in a day for each client: a page of useChat guesses once when it opens a new chat, by asking
-- for a running answer, and many people can share an address. A refused request is not counted, because its
-- transaction ends with the error; the last guess that is allowed is answered, so its count stays.
-- Raises PA005, with the seconds until the next guess as its detail: also for a request that is no guess, so that a
-- client cannot find out by it which of its guesses was right.
--
-- Parameters
--   client_subject  text     keyed hash of the client's network address
--   is_guess        boolean  false: only look whether the client has guessed too often
--
-- Index quotas_pkey (also within count_use).
CREATE OR REPLACE FUNCTION count_guess(client_subject text, is_guess boolean)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
DECLARE
    per_minute CONSTANT integer := 60;
    per_day CONSTANT integer := 1000;
    is_refused boolean;
    waiting_seconds double precision;
BEGIN
    IF is_guess THEN
        SELECT NOT counted.is_allowed
        INTO is_refused
        FROM count_use(
            ARRAY[client_subject], ARRAY[per_minute], ARRAY[per_day], '{0}', '{0}', 0, now()
        ) AS counted;
    END IF;
    IF coalesce(is_refused, TRUE) THEN
        SELECT extract(
            EPOCH FROM CASE
                WHEN quotas.day_count >= per_day AND quotas.day_ends_at > now() THEN quotas.day_ends_at
                ELSE quotas.minute_ends_at
            END - now()
        )
        INTO waiting_seconds
        FROM quotas
        WHERE
            quotas.subject = client_subject
            AND (
                (quotas.minute_count >= per_minute AND quotas.minute_ends_at > now())
                OR (quotas.day_count >= per_day AND quotas.day_ends_at > now())
            );
        IF FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PA005',
                MESSAGE = 'the client has guessed too often',
                DETAIL = waiting_seconds::text;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION count_guess(text, boolean)
IS 'Parley: counts a guess of a client at a conversation; an error once the client has guessed too often';
