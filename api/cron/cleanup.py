"""GET /api/cron/cleanup: delete what is older than the retention period; Vercel's cron calls it.

It also stores the answers that killed functions have left behind.

Accepts   Authorization: Bearer $CRON_SECRET
Answers   200 {"deleted", "remaining", "seconds"}; remaining: time was over first
Problems  401 unauthenticated (always, when CRON_SECRET is not set), 503 database_unavailable
Database  1 round trip for 1,000 messages: delete_old_chat_messages.sql; for 1,000 counters:
          delete_old_quotas.sql; and list_lapsed_turns.sql, with 2 for each turn that it finds
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.database import database
from lib.functions import function, json_response
from lib.retention import check_cron_secret, clean_up


async def get(request: Request) -> Response:
    """Clean up and answer what went."""
    check_cron_secret(request)
    return json_response(await clean_up(database()))


app = function(GET=get)
