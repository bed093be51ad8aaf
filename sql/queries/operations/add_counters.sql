-- add_counters :exec
-- Add the counts of an instance since its last call; they are sums, and name no user.
--
-- The order of the index lets two instances that add to one shard at once wait in turn, without a deadlock.
--
-- Parameters
--   shard     integer      0 to 15: the rows to add to
--   counters  jsonb        a list of {metric, function, label, bound, count, total}
--   now       timestamptz  the time; null: the database's clock
--
-- Index metric_counters_pkey.
INSERT INTO metric_counters AS already (
    shard, metric, function, label, bound, count, total, day, day_count, day_total
)
SELECT
    %(shard)s::integer,
    counted.metric,
    counted.function,
    counted.label,
    counted.bound,
    counted.count,
    counted.total,
    (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC')::date,
    counted.count,
    counted.total
FROM
    jsonb_to_recordset(%(counters)s::jsonb)
        AS counted (
            metric text,
            function text,
            label text,
            bound double precision,
            count bigint,
            total double precision
        )
ORDER BY counted.metric, counted.function, counted.label, counted.bound
ON CONFLICT (shard, metric, function, label, bound) DO UPDATE SET
    count = already.count + excluded.count,
    total = already.total + excluded.total,
    day_count = CASE
        WHEN already.day = excluded.day THEN already.day_count + excluded.count ELSE excluded.count
    END,
    day_total = CASE
        WHEN already.day = excluded.day THEN already.day_total + excluded.total ELSE excluded.total
    END,
    day = excluded.day;
