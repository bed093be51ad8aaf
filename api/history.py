"""GET /api/history: the messages of one conversation, oldest first, one page.

Accepts   ?conversation_id=<uuid or chat id>  &limit=1..200 (50)  &before=<cursor>
          &include=superseded|system|all
Answers   200 {"conversation", "messages", "next_cursor"}; messages fit useChat({messages})
Problems  401 unauthenticated, 404 not_found (not yours, or it does not exist), 422 invalid_request
Database  1 round trip: read_history.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.conversations.history import HistoryQuery, read_history
from lib.database.client import database
from lib.functions import function
from lib.http.queries import parse_query
from lib.http.responses import json_response
from lib.identity.callers import caller_of


async def get(request: Request) -> Response:
    """Answer one page of messages."""
    caller = await caller_of(request)
    history = await read_history(database(), caller, parse_query(request, HistoryQuery))
    return json_response(history, {"x-conversation-id": str(history["conversation"].id)})


app = function(GET=get)
