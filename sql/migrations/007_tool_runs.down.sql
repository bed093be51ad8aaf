-- Takes back 007 tool runs. Lost: the tool runs of questions without an answer; a retry runs those tools again.

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
            AND pg_proc.proname IN ('delete_old_chat_messages', 'list_tool_runs')
            AND obj_description(pg_proc.oid, 'pg_proc') LIKE 'Parley:%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END
$$;
DROP TABLE IF EXISTS tool_runs;
