"""GET /api/conversations: the caller's conversations, most recently used first, one page.

Accepts   ?status=active|archived|all (active)  &limit=1..200 (20)  &cursor=<cursor>
Answers   200 {"conversations", "next_cursor"}
Problems  401 unauthenticated (anonymous callers have no list), 422 invalid_request
Database  1 round trip: list_conversations.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.callers import user_of
from lib.conversations import ListQuery, list_conversations
from lib.database import database
from lib.functions import function, json_response, parse_query


async def get(request: Request) -> Response:
    """Answer one page."""
    user_id = await user_of(request)
    query = parse_query(request, ListQuery)
    return json_response(await list_conversations(database(), user_id, query))


app = function(GET=get)
