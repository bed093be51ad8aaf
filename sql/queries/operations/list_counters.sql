-- list_counters :many
-- The counts of all instances, in total and of today (UTC); for the metrics alone.
--
-- Parameters
--   now  timestamptz  the time; null: the database's clock
--
-- Returns a row a metric, function, label and bucket, in that order: metric, function, label, bound,
-- count, total, and for today day_count and day_total.
-- Index none: reads all of some hundred rows.
WITH
today AS (
    SELECT (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC')::date AS day
)

SELECT
    metric_counters.metric,
    metric_counters.function,
    metric_counters.label,
    metric_counters.bound,
    metric_counters.count,
    metric_counters.total,
    CASE WHEN metric_counters.day = today.day THEN metric_counters.day_count ELSE 0 END AS day_count,
    CASE WHEN metric_counters.day = today.day THEN metric_counters.day_total ELSE 0 END AS day_total
FROM metric_counters
CROSS JOIN today
ORDER BY metric_counters.metric, metric_counters.function, metric_counters.label, metric_counters.bound;
