"""GET /api/health: whether requests can be answered; with ?live, whether the function runs.

Accepts   ?live
Answers   200 {"status": "ok", "version", "database": {"migration", "pool"}}; with ?live without
          "database", because the database is not asked; {"status": "degraded", …, "warnings"} while
          settings keep Parley from its other work
Problems  503 database_unavailable, database_not_migrated (names the missing migrations)
Database  1 round trip: list_migrations.sql; with ?live none
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.functions import function
from lib.http.responses import json_response
from lib.operations.health import read_health, read_liveness


async def get(request: Request) -> Response:
    """Answer the health of the database, or only that the function runs."""
    if "live" in request.query_params:
        return json_response(read_liveness())
    return json_response(await read_health(database()))


app = function(GET=get)
