"""GET, DELETE /api/chat/:id/stream: come back to a running answer, or stop it.

Accepts   GET ?startIndex=<number of the first part to send> (0; negative: from the end)
Answers   GET: 200, the UI message stream of the running answer from its first part on, or of an
          answer that ended within the last minute and was not stopped; 204 if there is none
          DELETE: 204 once no answer is running; the text so far is stored as aborted
Problems  401 unauthenticated, 403 account_inactive, 422 invalid_request, 503 database_unavailable
Database  GET: 1 round trip, then 2 to 10 a second while another process makes the answer:
          read_stream.sql. DELETE: 1 round trip: stop_turn.sql; then likewise until it has stopped
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.chat.stream import StreamQuery, conversation_in_path, resume_answer, stop_answer
from lib.functions import function
from lib.http.queries import parse_query
from lib.identity.callers import caller_of


async def get(request: Request) -> ASGIApp:
    """Answer the stream of the running answer."""
    caller = await caller_of(request)
    query = parse_query(request, StreamQuery)
    conversation_id = conversation_in_path(request, caller)
    if conversation_id is None:
        return Response(status_code=204)
    return await resume_answer(caller, conversation_id, query.start_index)


async def delete(request: Request) -> Response:
    """Stop the running answer."""
    caller = await caller_of(request)
    conversation_id = conversation_in_path(request, caller)
    if conversation_id is not None:
        await stop_answer(caller, conversation_id)
    return Response(status_code=204)


app = function(GET=get, DELETE=delete)
