-- list_slow_statements
-- Lists the statements of sql/queries that took the most time in all, by the name that each has in a comment.
--
-- A function, because a statement that names pg_stat_statements cannot be sent where that extension is missing.
--
-- Parameters
--   most  integer  rows wanted at most
--
-- Returns 0 to most rows: statement, calls, total_seconds, mean_seconds, row_count. One row of nulls: there is no
-- pg_stat_statements.
-- Index none: reads what the database counts.
CREATE OR REPLACE FUNCTION list_slow_statements(most integer)
RETURNS TABLE (
    statement text,
    calls bigint,
    total_seconds double precision,
    mean_seconds double precision,
    row_count bigint
)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    -- The extension is where its owner has put it.
    PERFORM set_config('search_path', quote_ident(pg_namespace.nspname), TRUE)
    FROM pg_extension
    INNER JOIN pg_namespace ON pg_extension.extnamespace = pg_namespace.oid
    WHERE pg_extension.extname = 'pg_stat_statements';
    -- The view may exist without the library that fills it; reading it is then an error.
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
            substring(pg_stat_statements.query FROM '^[[:alnum:]_]+ /[*] ([[:alnum:]_]+) [*]/') AS name,
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
