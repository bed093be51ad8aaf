-- Takes back 008 streams. Lost: the parts of running answers, if their function is killed.

DROP FUNCTION IF EXISTS begin_turn;
DROP FUNCTION IF EXISTS finish_turn;
DROP TABLE IF EXISTS finished_streams;
DROP TABLE IF EXISTS stream_batches;
