"""/api/messages: find answers marked as mistakes, mark them, and read the usage of tokens.

Accepts   GET ?is_mistake=true  &limit=1..200 (50)  &cursor=<cursor>  &format=json|jsonl (json)
          GET ?usage=true  &from=<day>  &to=<day>, by UTC, both included (the last 30 days)
          PATCH ?id=<message id>&conversation_id=<uuid or chat id> {"is_mistake", "mistake_note"?}
Answers   200 {"messages", "next_cursor"}, each with its question, or JSON lines for fine-tuning
          (the next page's cursor in the header x-next-cursor); {"from", "to", "usage",
          "total"};
          PATCH the message
Problems  401 unauthenticated (an anonymous caller may mark by ids), 403 account_inactive,
          404 not_found (no answer, not yours or not there), 415, 422 invalid_request
Database  1 round trip: list_mistakes.sql; sum_usage.sql; mark_mistake.sql, find_message.sql
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.conversations.mistakes import (
    AnswersQuery,
    MessageQuery,
    as_examples,
    list_mistakes,
    mark_mistake,
    mistake_mark,
)
from lib.conversations.usage import sum_usage
from lib.database.client import database
from lib.functions import function
from lib.http.bodies import read_body
from lib.http.queries import parse_query
from lib.http.responses import NO_STORE, json_response
from lib.identity.callers import caller_of, user_of


async def get(request: Request) -> Response:
    """Answer mistakes or usage."""
    caller = await user_of(request)
    query = parse_query(request, AnswersQuery)
    if query.usage is not None:
        return json_response(await sum_usage(database(), caller, query))
    page, next_cursor = await list_mistakes(database(), caller, query)
    if query.format == "json":
        return json_response({"messages": page, "next_cursor": next_cursor})
    headers = NO_STORE | ({"x-next-cursor": next_cursor} if next_cursor else {})
    return Response(as_examples(page), media_type="application/jsonl", headers=headers)


async def patch(request: Request) -> Response:
    """Mark an answer."""
    caller = await caller_of(request)
    query = parse_query(request, MessageQuery)
    mark = await read_body(request, mistake_mark)
    return json_response(await mark_mistake(database(), caller, query, mark))


app = function(GET=get, PATCH=patch)
