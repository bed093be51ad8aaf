"""The endpoint /api/conversations: reads a request, and calls the use that it asks for."""

from typing import Literal
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.conversations.changes import (
    ConversationQuery,
    change_conversation,
    claim_conversation,
    conversation_change,
    delete_conversation,
    delete_conversations,
    find_conversation,
)
from lib.conversations.export import export_everything
from lib.conversations.listing import (
    AnyQuery,
    ConversationDetails,
    ListQuery,
    list_conversations,
    search_conversations,
)
from lib.database.client import database
from lib.http.bodies import has_body, read_body, read_json
from lib.http.cursors import MAX_SIGNED_CHARS
from lib.http.ids import CHAT_ID, conversation_id_of
from lib.http.queries import Reader, one_of, parameter, parse_query, query_string, text
from lib.http.responses import json_response
from lib.identity.callers import Caller, caller_of, user_of
from lib.identity.conversation_keys import HEADER, new_key
from lib.problems import ConversationKeyRequired, InvalidRequest, Unauthenticated

NO_FIELDS = "POST takes no fields: a conversation begins with its first message, to POST /api/chat."


# Of the list or of the export: which one, the other parameters tell.
ANY_CURSOR = Reader(
    text(1, MAX_SIGNED_CHARS).read,
    type="string",
    minLength=1,
    maxLength=MAX_SIGNED_CHARS,
    description="The `next_cursor` of the page before; with `export` the `cursor` of a line.",
)


@query_string
class ReadQuery(AnyQuery):
    """The query of GET: for one conversation, for the export, or for a page of many.

    All parameters must be valid, also those of the other uses.

    Attributes:
        id: one conversation.
        export: all data of the user.
    """

    id: str | None = parameter(CHAT_ID, default=None)
    export: Literal["true"] | None = parameter(one_of("true"), default=None)
    cursor: str | None = parameter(ANY_CURSOR, default=None)


@query_string
class DeleteQuery:
    """The query of DELETE: for one conversation or, with `all`, for all."""

    id: str | None = parameter(CHAT_ID, default=None)
    all: Literal["true"] | None = parameter(one_of("true"), default=None)


async def read(request: Request) -> ASGIApp:
    """Answer GET: one conversation, a page of the list or of a search, or the export.

    An anonymous caller may read one conversation, because it knows the id.
    """
    names_one = "id" in request.query_params
    caller = await (caller_of if names_one else user_of)(request)
    query = parse_query(request, ReadQuery)
    if query.id is not None:
        conversation_id = conversation_id_of(query.id, caller)
        return _response(await find_conversation(database(), caller, conversation_id))
    if query.export is not None:
        return await export_everything(database(), caller, query.cursor)
    page = parse_query(request, ListQuery)
    if page.q is None:
        return json_response(await list_conversations(database(), caller, page))
    if page.cursor is not None:
        errors = [{"field": "cursor", "detail": "does not go with q: a search has one page"}]
        raise InvalidRequest(errors=errors)
    return json_response(await search_conversations(database(), caller, page))


async def begin(request: Request) -> Response:
    """Answer POST: the id of a new conversation and, for an anonymous caller, its key.

    Nothing is stored before the first message, so a page that loses this answer asks again.
    """
    caller = await caller_of(request)
    if has_body(request) and await read_json(request):
        raise InvalidRequest(NO_FIELDS)
    conversation_id = uuid4()
    headers = {"x-conversation-id": str(conversation_id)}
    content: dict[str, object] = {"id": conversation_id}
    if caller.user_id is None:
        content["key"] = headers[HEADER] = new_key(conversation_id)
    return json_response(content, headers, status=201)


async def change(request: Request) -> Response:
    """Answer PATCH: change a conversation; with `claim`, claim it first."""
    caller = await caller_of(request)
    body = await read_body(request, conversation_change)
    if not body.claim:
        conversation_id = _conversation_id(request, caller)
        return _response(await change_conversation(database(), caller, conversation_id, body))
    if caller.user_id is None:
        raise Unauthenticated
    if caller.conversation_key is None:
        raise ConversationKeyRequired
    # The id that the text meant for the anonymous caller, its owner until now.
    conversation_id = _conversation_id(request, Caller())
    claimed = await claim_conversation(database(), caller, conversation_id)
    if body.only_claims:
        return _response(claimed)
    return _response(await change_conversation(database(), caller, conversation_id, body))


async def delete(request: Request) -> Response:
    """Answer DELETE: one conversation, or all."""
    names_all = "all" in request.query_params and "id" not in request.query_params
    caller = await (user_of if names_all else caller_of)(request)
    query = parse_query(request, DeleteQuery)
    if query.id is not None:
        conversation_id = conversation_id_of(query.id, caller)
        await delete_conversation(database(), caller, conversation_id)
    elif query.all is not None:
        await delete_conversations(database(), caller)
    else:
        raise InvalidRequest(errors=[{"field": "id", "detail": "must be given, or all=true"}])
    return Response(status_code=204)


def _conversation_id(request: Request, caller: Caller) -> UUID:
    return conversation_id_of(parse_query(request, ConversationQuery).id, caller)


def _response(conversation: ConversationDetails) -> Response:
    return json_response(conversation, {"x-conversation-id": str(conversation.id)})
