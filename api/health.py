"""GET /api/health: whether requests can be answered; with ?live, whether the function runs.

Accepts   ?live; with Authorization: Bearer METRICS_TOKEN or CRON_SECRET, faults name their objects
Answers   200 {"status": "ok", "version", "database": {"migration", "pool"}}; with ?live without
          "database", because the database is not asked; {"status": "degraded", …, "warnings"} while
          settings keep Parley from its other work, others have privileges on its objects, or a
          later version has migrated
Problems  503 database_unavailable, database_not_migrated (names the missing migrations, or what
          else is wrong, with the command that cures it)
Database  1 round trip: list_migrations.sql, list_faults.sql; with ?live none
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.responses import json_response
from lib.identity.operators import is_operator
from lib.operations.health import read_health, read_liveness


async def get(request: Request) -> Response:
    """Answer the health of the database, or only that the function runs."""
    if "live" in request.query_params:
        return json_response(read_liveness())
    return json_response(await read_health(database(), is_operator=is_operator(request)))


app = function(GET=get)
