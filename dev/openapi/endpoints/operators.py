"""/api/health, /api/metrics and /api/cron/cleanup."""

from dev.openapi.operations import Answer, Operation, as_json
from dev.openapi.schemas import Schema
from lib.operations.clean_up import CleanUpQuery
from lib.operations.metrics import MetricsQuery
from lib.problems import NotFound

LIVE: Schema = {
    "type": "string",
    "description": "Only whether the function answers: the database is not asked.",
}

OPERATIONS = {
    ("GET", "/api/health"): Operation(
        name="readHealth",
        summary="Is everything there that a request needs?",
        caller="anybody",
        more_query={"live": LIVE},
        answers={200: as_json("Health", "Yes.")},
    ),
    ("GET", "/api/metrics"): Operation(
        name="readMetrics",
        summary="How it goes, in figures",
        text="Of all instances and of the database, where `METRICS_TOKEN` is set.",
        caller="metrics",
        query=MetricsQuery,
        answers={
            200: Answer(
                "For Prometheus, or as JSON.",
                {"text/plain": "PrometheusText", "application/json": "Metrics"},
            )
        },
        problems=(NotFound,),
    ),
    ("GET", "/api/cron/cleanup"): Operation(
        name="cleanUp",
        summary="Delete what is older than the retention period",
        text="Vercel's cron calls it every night.",
        caller="cron",
        query=CleanUpQuery,
        answers={200: as_json("CleanUpReport", "What was deleted, or would be.")},
    ),
}
