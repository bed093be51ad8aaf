-- describe_database :one
-- The database as a whole: size, cache, connections of all its clients; for the metrics alone.
--
-- Returns 1 row: blocks_hit and blocks_read (all tables, since statistics_since), deadlocks, rollbacks,
-- temporary_bytes (written because memory did not suffice), statistics_since (null: always), active_connections,
-- idle_connections, idle_in_transaction_connections, longest_transaction_seconds (0: none is open),
-- size_bytes, max_connections.
-- Index none: reads the catalog.
WITH
connections AS (
    SELECT
        count(*) FILTER (WHERE activity.state = 'active') AS active_connections,
        count(*) FILTER (WHERE activity.state = 'idle') AS idle_connections,
        count(*) FILTER (WHERE activity.state LIKE 'idle in transaction%%') AS idle_in_transaction_connections,
        max(clock_timestamp() - activity.xact_start) FILTER (WHERE activity.pid <> pg_backend_pid())
            AS longest_transaction
    FROM pg_stat_activity AS activity
    WHERE
        activity.datname = current_database()
        AND activity.backend_type = 'client backend'
)

SELECT
    pg_stat_database.blks_hit AS blocks_hit,
    pg_stat_database.blks_read AS blocks_read,
    pg_stat_database.deadlocks,
    pg_stat_database.xact_rollback AS rollbacks,
    pg_stat_database.temp_bytes AS temporary_bytes,
    pg_stat_database.stats_reset AS statistics_since,
    connections.active_connections,
    connections.idle_connections,
    connections.idle_in_transaction_connections,
    coalesce(extract(EPOCH FROM connections.longest_transaction), 0)::double precision
        AS longest_transaction_seconds,
    pg_database_size(pg_stat_database.datid) AS size_bytes,
    current_setting('max_connections')::bigint AS max_connections
FROM pg_stat_database
CROSS JOIN connections
WHERE pg_stat_database.datname = current_database();
