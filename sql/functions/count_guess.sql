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
-- Index quotas_pkey.
CREATE OR REPLACE FUNCTION count_guess(client_subject text, is_guess boolean)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    per_minute CONSTANT integer := 60;
    per_day CONSTANT integer := 1000;
    is_refused boolean;
    waiting_seconds double precision;
BEGIN
    IF is_guess THEN
        INSERT INTO quotas AS already (subject, minute_count, minute_ends_at, day_count, day_ends_at)
        VALUES (client_subject, 1, now() + interval '1 minute', 1, now() + interval '1 day')
        ON CONFLICT (subject) DO UPDATE SET
            minute_count = CASE WHEN already.minute_ends_at <= now() THEN 1 ELSE already.minute_count + 1 END,
            minute_ends_at = CASE
                WHEN already.minute_ends_at <= now() THEN excluded.minute_ends_at
                ELSE already.minute_ends_at
            END,
            day_count = CASE WHEN already.day_ends_at <= now() THEN 1 ELSE already.day_count + 1 END,
            day_ends_at = CASE
                WHEN already.day_ends_at <= now() THEN excluded.day_ends_at
                ELSE already.day_ends_at
            END
        WHERE
            (already.minute_count < per_minute OR already.minute_ends_at <= now())
            AND (already.day_count < per_day OR already.day_ends_at <= now());
        is_refused := NOT FOUND;
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
REVOKE EXECUTE ON FUNCTION count_guess(text, boolean) FROM public;
