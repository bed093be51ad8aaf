-- 016 metric counters: what all instances of the functions have counted, and the slowest statements.
--
-- Locks: none on an existing table.
-- Undo: 016_metric_counters.down.sql.

-- Some hundred rows, each updated by every instance now and then: with room on the page, and no other
-- index, such an update leaves nothing for a vacuum of the index.
CREATE TABLE IF NOT EXISTS metric_counters (
    figure varchar(100) NOT NULL,
    function varchar(100) NOT NULL,
    label varchar(100) NOT NULL,
    bound double precision NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    day date NOT NULL,
    day_count bigint NOT NULL,
    day_total double precision NOT NULL,
    PRIMARY KEY (figure, function, label, bound)
) WITH (fillfactor = 50);

COMMENT ON TABLE metric_counters IS 'Parley: what all instances of the functions have counted; emptying it begins anew';
COMMENT ON COLUMN metric_counters.figure IS 'What is counted, as lib/runtime/counting.py names it';
COMMENT ON COLUMN metric_counters.function IS 'The function that counted it: its file, without the suffix';
COMMENT ON COLUMN metric_counters.label IS 'By what it is counted beside that: a statement, a code; empty: nothing';
COMMENT ON COLUMN metric_counters.bound
IS 'Of a histogram, the upper bound of the bucket, in seconds; Infinity: the last one, or a plain counter';
COMMENT ON COLUMN metric_counters.count IS 'How often';
COMMENT ON COLUMN metric_counters.total IS 'What the values in the bucket add up to, in seconds';
COMMENT ON COLUMN metric_counters.day IS 'The last day, by UTC, on which something was counted';
COMMENT ON COLUMN metric_counters.day_count IS 'How often, on that day';
COMMENT ON COLUMN metric_counters.day_total IS 'What the values add up to, on that day';

-- Without a policy: the role parley_app, within the wall, has nothing to do here.
ALTER TABLE metric_counters ENABLE ROW LEVEL SECURITY;

-- Where pg_stat_statements is, the statements of sql/queries/ that took the most time in all: by the
-- name that each of them carries in a comment, never by their text. Where it is not, one row of NULLs.
-- A function, since a statement that names the view cannot be sent where there is none.
CREATE OR REPLACE FUNCTION list_slow_statements(most integer)
RETURNS TABLE (
    statement text,
    calls bigint,
    total_seconds double precision,
    mean_seconds double precision,
    row_count bigint
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- The view can be there without the library that fills it; then to read it is an error.
    IF
        to_regclass('pg_stat_statements') IS NULL
        OR current_setting('pg_stat_statements.max', TRUE) IS NULL
    THEN
        statement := NULL;
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        named.name,
        sum(named.calls)::bigint,
        sum(named.total_exec_time) / 1000,
        sum(named.total_exec_time) / 1000 / greatest(sum(named.calls), 1),
        sum(named.rows)::bigint
    FROM (
        SELECT
            substring(pg_stat_statements.query FROM '^\w+ /\* (\w+) \*/') AS name,
            pg_stat_statements.calls,
            pg_stat_statements.total_exec_time,
            pg_stat_statements.rows
        FROM pg_stat_statements
        WHERE pg_stat_statements.dbid = (
            SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database()
        )
    ) AS named
    WHERE named.name IS NOT NULL
    GROUP BY named.name
    ORDER BY sum(named.total_exec_time) DESC
    LIMIT most;
END
$$;
COMMENT ON FUNCTION list_slow_statements(integer)
IS 'Parley: the statements that took the most time, where pg_stat_statements is; else one row of NULLs';

DO $$
BEGIN
    -- The extension need not be in Parley's schema.
    EXECUTE format(
        'ALTER FUNCTION list_slow_statements(integer) SET search_path = %I, public, pg_temp',
        current_schema()
    );
END
$$;

REVOKE EXECUTE ON FUNCTION list_slow_statements(integer) FROM public;
