-- list_slow_statements :many
-- The statements of this folder that took the most time in all, by name; for the metrics alone.
--
-- Parameters
--   page_size  integer  how many at most
--
-- Returns 0 to page_size rows: statement, calls, total_seconds, mean_seconds, row_count. One row of nulls:
-- pg_stat_statements is not here.
-- Index none: reads what the database counts.
-- The function: sql/functions/list_slow_statements.sql.
SELECT
    slow.statement,
    slow.calls,
    slow.total_seconds,
    slow.mean_seconds,
    slow.row_count
FROM list_slow_statements(%(page_size)s::integer) AS slow;
