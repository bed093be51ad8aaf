"""/api/conversations: begin, list, search, read, rename, archive, claim, delete, export, import.

Accepts   GET ?status=active|archived|all (active)  &limit=1..200 (20)  &cursor=<cursor> or &q=…
          GET, PATCH, DELETE ?id=<uuid or chat id>; PATCH {"title"?, "status"?,
          "instructions"?, "claim"?: true}
          GET ?export=true  DELETE ?all=true  POST without a body
          POST ?import=parley|chatgpt|open-webui, JSON lines or a JSON array, up to 4 MB
          the header x-conversation-key, for a conversation without an owner, and to claim it
Answers   POST 201 {"id", "key"}, of which an anonymous caller's first message makes a conversation;
          200 {"conversations", "next_cursor"}; with id the conversation; DELETE 204;
          export JSON lines {"type", …}: all data of the caller;
          import 200 {"conversations", "messages", "left_out"}, each counted
Problems  401 unauthenticated (an anonymous caller reaches one, by its key), 403 account_inactive,
          conversation_key_required (claim), 404 not_found (not yours, not there, or SEARCH is off),
          409 turn_in_progress (claim), 422 invalid_request, 429 too_many_guesses,
          storage_quota_exceeded (import)
Database  POST none; 1 round trip: list_conversations.sql, store_import.sql and the like; more for
          export and DELETE ?all=true
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from lib.conversations import endpoint
from lib.functions import function
from lib.imports.endpoint import answer_import, is_import


async def get(request: Request) -> ASGIApp:
    """Answer one conversation, one page of many, or the export."""
    return await endpoint.read(request)


async def post(request: Request) -> Response:
    """Answer the id and the key of a new conversation, or import conversations."""
    if is_import(request):
        return await answer_import(request)
    return await endpoint.begin(request)


async def patch(request: Request) -> Response:
    """Change or claim one conversation."""
    return await endpoint.change(request)


async def delete(request: Request) -> Response:
    """Delete one conversation, or all."""
    return await endpoint.delete(request)


app = function(GET=get, POST=post, PATCH=patch, DELETE=delete)
