-- Takes back 014 streams. Lost: what running answers have said so far, if their function is killed.

DROP TABLE IF EXISTS finished_streams;
DROP TABLE IF EXISTS stream_batches;
ALTER TABLE conversations DROP COLUMN IF EXISTS stopped_turn_id;
