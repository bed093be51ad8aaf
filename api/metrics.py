"""GET /api/metrics: how it goes, in figures, for Prometheus; with ?format=json for people.

Accepts   Authorization: Bearer $METRICS_TOKEN  ?format=prometheus (default) or json
Answers   200 in Prometheus's text format, or JSON: what all instances have counted, the pool of
          this process, the database. Where that is not reached, the little that is known without.
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
from lib.operations.prometheus import MEDIA_TYPE, text_of
from lib.operations.report import report_of


async def get(request: Request) -> Response:
    """Answer all figures."""
    check_metrics_token(request)
    query = parse_query(request, MetricsQuery)
    metrics = await read_metrics(database())
    if query.format == "json":
        return json_response(report_of(metrics))
    return Response(text_of(metrics), media_type=MEDIA_TYPE, headers=NO_STORE)


app = function(GET=get)
