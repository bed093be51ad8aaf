"""The endpoint POST /api/conversations?import=…: reads a request, and answers with the report."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from lib.database.client import database
from lib.http.bodies import read_bytes
from lib.http.queries import one_of, parameter, parse_query, query_string
from lib.http.responses import json_response
from lib.identity.callers import caller_of
from lib.problems import NotFound, Unauthenticated, UnsupportedMediaType
from lib.runtime.imports import load
from lib.settings import settings

# Less than Vercel takes, which is 4.5 MB.
MAX_PIECE_BYTES = 4 * 1024 * 1024
MEDIA_TYPES = {"application/json", "application/x-ndjson", "application/jsonl"}
JSON_NEEDED = (
    "Send JSON lines with the header Content-Type: application/x-ndjson, or a JSON array with "
    "application/json."
)


@query_string
class ImportQuery:
    """The query of POST.

    Attributes:
        source: the body is to be imported: an export of this format.
    """

    source: Literal["parley", "chatgpt", "open-webui"] | None = parameter(
        one_of("parley", "chatgpt", "open-webui"), default=None, names=("import",)
    )


def is_import(request: Request) -> bool:
    """Tell whether a POST asks for an import."""
    return "import" in request.query_params


async def answer_import(request: Request) -> Response:
    """Answer POST: store what the body brings, and report it.

    Raises:
        NotFound: when the operator has switched imports off.
        Unauthenticated: when the caller is a guest.
        UnsupportedMediaType: when the body is not said to be JSON.
        Problem: see `caller_of`, `read_bytes` and `lib.imports.storing.store_import`.
    """
    caller = await caller_of(request)
    if settings().imports == "off":
        raise NotFound("This application imports no conversations.")
    if caller.user_id is None:
        raise Unauthenticated("Sign in to import conversations.")
    query = parse_query(request, ImportQuery)
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() not in MEDIA_TYPES:
        raise UnsupportedMediaType(JSON_NEEDED)
    body = await read_bytes(request, MAX_PIECE_BYTES)
    assert query.source is not None
    # Late: nearly no process imports anything.
    store_import = await load(_find_store_import)
    return json_response(await store_import(database(), caller, query.source, body))


def _find_store_import() -> Callable[..., Awaitable[dict[str, Any]]]:
    from lib.imports.storing import store_import

    return store_import
