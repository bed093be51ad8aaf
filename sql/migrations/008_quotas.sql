-- 008 quotas: how often somebody did something in the running minute and in the running day.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- Undo: 008_quotas.down.sql.

CREATE TABLE IF NOT EXISTS quotas (
    subject varchar(300) PRIMARY KEY,
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    minute_count integer NOT NULL,
    minute_ends_at timestamptz NOT NULL,
    day_count integer NOT NULL,
    day_ends_at timestamptz NOT NULL
);

-- The ON DELETE CASCADE of users, and export_profile.
CREATE INDEX IF NOT EXISTS idx_quotas_user_id ON quotas (user_id);
-- delete_old_quotas: those that count nothing any more.
CREATE INDEX IF NOT EXISTS idx_quotas_day_ends_at ON quotas (day_ends_at);

COMMENT ON TABLE quotas IS 'Parley: what was used in the running minute and day, a row for each who is counted';
COMMENT ON COLUMN quotas.subject
IS 'Who is counted, and for what: a user''s id, or the keyed hash of a client''s or an e-mail address';
COMMENT ON COLUMN quotas.user_id IS 'The user, where it is one';
COMMENT ON COLUMN quotas.minute_count IS 'Used in the minute that ends at minute_ends_at';
COMMENT ON COLUMN quotas.minute_ends_at IS 'A minute after the first use that it counts';
COMMENT ON COLUMN quotas.day_count IS 'Used in the day that ends at day_ends_at';
COMMENT ON COLUMN quotas.day_ends_at IS 'A day after the first use that it counts';

ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON quotas TO parley_app;
DROP POLICY IF EXISTS own_quotas ON quotas;
CREATE POLICY own_quotas ON quotas TO parley_app
USING (user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), '')));
COMMENT ON POLICY own_quotas ON quotas IS 'To be read, by the user that it counts; count_use alone writes';

-- Count one use, unless that were one too many: then nothing is counted. Whoever comes at the same
-- moment waits for the row, so not one slips through.
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
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
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
    -- A minute that is over, when it was the day that refused.
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
IS 'Parley: count one use against limits a minute and a day (0: none), and tell what is left of them';

DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION count_use(text, text, integer, integer, timestamptz) SET search_path = %I, pg_temp',
        current_schema()
    );
END
$$;

REVOKE EXECUTE ON FUNCTION count_use(text, text, integer, integer, timestamptz) FROM public;
GRANT EXECUTE ON FUNCTION count_use(text, text, integer, integer, timestamptz) TO parley_app;
