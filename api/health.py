"""GET /api/health: is everything there that a request needs?

Answers   200 {"status": "ok", "version", "database": {"migration", "pool"}}
Problems  503 database_unavailable, database_not_migrated (says which migrations are missing)
Database  1 round trip: list_migrations.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database import database
from lib.functions import function, json_response
from lib.health import read_health


async def get(_request: Request) -> Response:
    """Answer how it is."""
    return json_response(await read_health(database()))


app = function(GET=get)
