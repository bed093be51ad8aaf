-- list_indexes :many
-- The indexes of Parley's tables as the database sees them: size and use; for the metrics alone.
--
-- Returns a row an index, by table and name: scans (number of uses), is_rule (true: it enforces a rule, as a
-- primary key does, and is needed even if no query uses it), is_valid (false: building it failed), table_name, name,
-- index_bytes.
-- Index none: reads the catalog.
SELECT
    indexes.idx_scan AS scans,
    pg_index.indisunique AS is_rule,
    pg_index.indisvalid AS is_valid,
    indexes.relname::text AS table_name,
    indexes.indexrelname::text AS name,
    pg_relation_size(indexes.indexrelid) AS index_bytes
FROM pg_stat_user_indexes AS indexes
INNER JOIN pg_index ON indexes.indexrelid = pg_index.indexrelid
INNER JOIN pg_class ON indexes.relid = pg_class.oid
WHERE
    pg_class.relnamespace = (
        SELECT parleys.relnamespace
        FROM pg_class AS parleys
        WHERE parleys.oid = to_regclass('conversations')
    )
    AND (
        obj_description(indexes.relid, 'pg_class') LIKE 'Parley:%%'
        OR indexes.relid IN (to_regclass('users'), to_regclass('tasks'))
    )
ORDER BY indexes.relname, indexes.indexrelname;
