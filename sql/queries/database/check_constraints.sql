-- check_constraints :exec
-- Check the constraints that wait for the end of the transaction, so that a refusal has its words.
--
-- Sent as the last statement of a step whose commit was refused: psycopg loses the error of a commit in a pipeline.
--
-- Index none: it reads no table by itself.
SET CONSTRAINTS ALL IMMEDIATE;
