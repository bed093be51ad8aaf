-- list_counters :many
-- What all instances have counted, in all and today, by UTC; for the metrics alone.
--
-- Parameters
--   now  timestamptz  null: the database's clock
--
-- Returns a row a figure, function, label and bucket, in that order: figure, function, label, bound,
-- count, total, and of today day_count and day_total.
-- Index none: some hundred rows, all of them.
WITH
today AS (
    SELECT (coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC')::date AS day
)

SELECT
    metric_counters.figure,
    metric_counters.function,
    metric_counters.label,
    metric_counters.bound,
    metric_counters.count,
    metric_counters.total,
    CASE WHEN metric_counters.day = today.day THEN metric_counters.day_count ELSE 0 END AS day_count,
    CASE WHEN metric_counters.day = today.day THEN metric_counters.day_total ELSE 0 END AS day_total
FROM metric_counters
CROSS JOIN today
ORDER BY metric_counters.figure, metric_counters.function, metric_counters.label, metric_counters.bound;
