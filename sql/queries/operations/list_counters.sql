-- list_counters :many
-- The counts of all instances, in total and of today (UTC); for the metrics alone.
--
-- Parameters
--   now  timestamptz  the time; null: the database's clock
--
-- Returns a row a metric, function, label and bucket, in that order: metric, function, label, bound,
-- count, total, and for today day_count and day_total.
-- Index none: reads all rows, some hundred for each of 16 shards.
WITH
today AS (
    SELECT (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC')::date AS day
)

SELECT
    metric_counters.metric,
    metric_counters.function,
    metric_counters.label,
    metric_counters.bound,
    sum(metric_counters.count)::bigint AS count,
    sum(metric_counters.total) AS total,
    coalesce(sum(metric_counters.day_count) FILTER (WHERE metric_counters.day = today.day), 0)::bigint AS day_count,
    coalesce(sum(metric_counters.day_total) FILTER (WHERE metric_counters.day = today.day), 0) AS day_total
FROM metric_counters
CROSS JOIN today
GROUP BY metric_counters.metric, metric_counters.function, metric_counters.label, metric_counters.bound
ORDER BY metric_counters.metric, metric_counters.function, metric_counters.label, metric_counters.bound;
