-- Takes back 008 streams. Lost: the parts of running answers, if their function is killed.

-- Each signature of these names: a later version may have made another one.
DO $$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT pg_proc.oid
        FROM pg_proc
        WHERE
            pg_proc.pronamespace = current_schema()::regnamespace
            AND pg_proc.proname IN ('begin_turn', 'decide_turn', 'finish_turn', 'store_stream_batches')
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DROP TABLE IF EXISTS finished_streams;
DROP TABLE IF EXISTS stream_batches;
