"""/api/health, /api/metrics and /api/cron/cleanup."""

from dev.openapi.operations import Answer, Operation, as_json
from dev.openapi.schemas import Schema
from lib.operations.clean_up import CleanUpQuery
from lib.operations.metrics import MetricsQuery
from lib.problems import NotFound

LIVE: Schema = {
    "type": "string",
    "description": "Leave out the database: only whether the function answers.",
}

OPERATIONS = {
    ("GET", "/api/health"): Operation(
        name="readHealth",
        summary="Tell whether the function and its database work",
        text="Faults name roles and objects for `METRICS_TOKEN` or `CRON_SECRET` as bearer token.",
        caller="anybody",
        more_query={"live": LIVE},
        answers={200: as_json("Health", "They do.")},
    ),
    ("GET", "/api/metrics"): Operation(
        name="readMetrics",
        summary="Read the metrics",
        text="Of all instances and of the database; 404 unless `METRICS_TOKEN` is set.",
        caller="metrics",
        query=MetricsQuery,
        answers={
            200: Answer(
                "For Prometheus, or as JSON.",
                {"text/plain": "PrometheusText", "application/json": "MetricsReport"},
            )
        },
        problems=(NotFound,),
    ),
    ("GET", "/api/cron/cleanup"): Operation(
        name="cleanUp",
        summary="Delete messages older than the retention period",
        text="Vercel's cron calls it every night.",
        caller="cron",
        query=CleanUpQuery,
        answers={200: as_json("CleanUpReport", "The rows deleted, or counted.")},
    ),
}
