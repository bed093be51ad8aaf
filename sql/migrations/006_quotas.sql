-- 006 quotas: uses counted in the running minute and the running day.
--
-- Locks: SHARE ROW EXCLUSIVE on users, for a moment (a foreign key of an empty table).
-- Undo: 006_quotas.down.sql.

CREATE TABLE IF NOT EXISTS quotas (
    subject varchar(300) PRIMARY KEY,
    user_id varchar(255) REFERENCES users (id) ON DELETE CASCADE,
    minute_count integer NOT NULL,
    minute_ends_at timestamptz NOT NULL,
    day_count integer NOT NULL,
    day_ends_at timestamptz NOT NULL
);

-- export_profile, delete_own_account, and the ON DELETE CASCADE of users.
CREATE INDEX IF NOT EXISTS idx_quotas_user_id ON quotas (user_id);
-- delete_old_quotas: counters whose day is over.
CREATE INDEX IF NOT EXISTS idx_quotas_day_ends_at ON quotas (day_ends_at);

COMMENT ON TABLE quotas IS 'Parley: uses in the running minute and day, a row for each subject';
COMMENT ON COLUMN quotas.subject
IS 'The subject and the kind of use: a user''s id, or the keyed hash of a client''s or an e-mail address';
COMMENT ON COLUMN quotas.user_id IS 'The user, where the subject is one';
COMMENT ON COLUMN quotas.minute_count IS 'Uses in the minute that ends at minute_ends_at';
COMMENT ON COLUMN quotas.minute_ends_at IS 'A minute after the first use that it counts';
COMMENT ON COLUMN quotas.day_count IS 'Uses in the day that ends at day_ends_at';
COMMENT ON COLUMN quotas.day_ends_at IS 'A day after the first use that it counts';

ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON quotas TO parley_app;
DROP POLICY IF EXISTS own_quotas ON quotas;
CREATE POLICY own_quotas ON quotas TO parley_app
USING (user_id = (SELECT nullif(current_setting('parley.user_id', TRUE), '')));
COMMENT ON POLICY own_quotas ON quotas IS 'The caller''s, to read; only count_use writes';
