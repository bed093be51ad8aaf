"""GET /api/metrics: the metrics of all instances, for Prometheus; with ?format=json for people.

Accepts   Authorization: Bearer $METRICS_TOKEN  ?format=prometheus (default) or json
Answers   200 in Prometheus's text format, or JSON: the counts of all instances, the pool of this
          process, the database. Only the pool and `database_up` while the database is unreachable.
Problems  404 not_found (always, when METRICS_TOKEN is not set), 401 unauthenticated,
          503 database_not_migrated
Database  1 round trip: add_counters.sql, list_counters.sql, list_tables.sql, list_indexes.sql,
          describe_database.sql, count_backlog.sql, list_slow_statements.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.queries import parse_query
from lib.http.responses import NO_STORE, json_response
from lib.identity.operators import check_metrics_token
from lib.operations.metrics import MetricsQuery, read_metrics
from lib.operations.report import report_of
from lib.operations.text_format import TEXT_FORMAT, text_writer
from lib.runtime.imports import load, load_ahead


async def get(request: Request) -> Response:
    """Answer all metrics."""
    check_metrics_token(request)
    query = parse_query(request, MetricsQuery)
    if query.format == "json":
        return json_response(report_of(await read_metrics(database())))
    load_ahead(text_writer)
    metrics = await read_metrics(database())
    write_text = await load(text_writer)
    return Response(write_text(metrics), media_type=TEXT_FORMAT, headers=NO_STORE)


app = function(GET=get)
