-- 006 quotas: uses counted in the running minute and the running day.
--
-- Locks: none on other tables.
-- Undo: 006_quotas.down.sql.

CREATE TABLE IF NOT EXISTS quotas (
    subject varchar(300) PRIMARY KEY,
    minute_count integer NOT NULL,
    minute_ends_at timestamptz NOT NULL,
    day_count integer NOT NULL,
    day_ends_at timestamptz NOT NULL,
    token_count bigint NOT NULL DEFAULT 0,
    byte_count bigint NOT NULL DEFAULT 0
);

-- delete_old_quotas: counters whose day is over.
CREATE INDEX IF NOT EXISTS idx_quotas_day_ends_at ON quotas (day_ends_at);

COMMENT ON TABLE quotas IS 'Parley: uses in the running minute and day, a row for each subject';
-- No user's id and no foreign key: a counter that went with its user would give a fresh quota for each deletion.
COMMENT ON COLUMN quotas.subject
IS 'The kind of use, and the keyed hash of the user, of the network address or of the e-mail address that it counts for';
COMMENT ON COLUMN quotas.minute_count IS 'Uses in the minute that ends at minute_ends_at';
COMMENT ON COLUMN quotas.minute_ends_at IS 'A minute after the first use that it counts';
COMMENT ON COLUMN quotas.day_count IS 'Uses in the day that ends at day_ends_at';
COMMENT ON COLUMN quotas.day_ends_at IS 'A day after the first use that it counts; then delete_old_quotas deletes the row';
COMMENT ON COLUMN quotas.token_count IS 'Tokens in that day, read and written by the model, as the provider counts';
COMMENT ON COLUMN quotas.byte_count IS 'Bytes of messages that were stored in that day: text, files and metadata';

-- Without a policy and without rights: parley_app reads its own counter by own_quota, and count_use and count_tokens
-- write.
ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
