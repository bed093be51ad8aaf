-- list_tables :many
-- Parley's tables as the database sees them: sizes, rows, reads; for the metrics alone.
--
-- Includes an application's own `users` and `tasks`. Row counts are estimates, which cost nothing.
--
-- Returns a row a table, by name: row_count, dead_row_count, sequential_scans, name, table_bytes (with its
-- large values), index_bytes, index_scans, blocks_hit (found in the database's own cache), blocks_read,
-- vacuumed_at and analyzed_at (null: never).
-- Index none: reads the catalog.
SELECT
    tables.n_live_tup AS row_count,
    tables.n_dead_tup AS dead_row_count,
    tables.seq_scan AS sequential_scans,
    tables.relname::text AS name,
    pg_table_size(tables.relid) AS table_bytes,
    pg_indexes_size(tables.relid) AS index_bytes,
    coalesce(tables.idx_scan, 0) AS index_scans,
    coalesce(blocks.heap_blks_hit, 0) + coalesce(blocks.idx_blks_hit, 0)
    + coalesce(blocks.toast_blks_hit, 0) + coalesce(blocks.tidx_blks_hit, 0) AS blocks_hit,
    coalesce(blocks.heap_blks_read, 0) + coalesce(blocks.idx_blks_read, 0)
    + coalesce(blocks.toast_blks_read, 0) + coalesce(blocks.tidx_blks_read, 0) AS blocks_read,
    greatest(tables.last_vacuum, tables.last_autovacuum) AS vacuumed_at,
    greatest(tables.last_analyze, tables.last_autoanalyze) AS analyzed_at
FROM pg_stat_user_tables AS tables
INNER JOIN pg_statio_user_tables AS blocks ON tables.relid = blocks.relid
INNER JOIN pg_class ON tables.relid = pg_class.oid
WHERE
    pg_class.relnamespace = (
        SELECT parleys.relnamespace
        FROM pg_class AS parleys
        WHERE parleys.oid = to_regclass('conversations')
    )
    AND (
        obj_description(tables.relid, 'pg_class') LIKE 'Parley:%%'
        OR tables.relid IN (to_regclass('users'), to_regclass('tasks'))
    )
ORDER BY tables.relname;
