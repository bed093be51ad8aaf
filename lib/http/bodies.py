"""Bodies of requests: JSON objects, read within limits, and checked by models of pydantic's.

A model is imported when the first body is to be checked by it: pydantic takes long to import, and
most functions begin with a GET.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from lib.problems import InvalidRequest, MalformedRequest, PayloadTooLarge, UnsupportedMediaType
from lib.runtime.imports import load

if TYPE_CHECKING:
    from pydantic import BaseModel


MAX_BODY_BYTES = 256 * 1024


async def read_body[Model: BaseModel](
    request: Request, find_model: Callable[[], type[Model]]
) -> Model:
    """Read a request's body and check it.

    Args:
        request: the request.
        find_model: imports the model of the body, and returns it.

    Raises:
        InvalidRequest: it is not what the model says; each wrong field is named.
        Problem: see `read_json`.
    """
    content = await read_json(request)
    model = await load(find_model)
    from lib.http.validation import validate  # noqa: PLC0415 (loaded by now, for the model)

    return validate(model, content)


async def read_json(request: Request, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Read a request's body, which must be a JSON object.

    Raises:
        UnsupportedMediaType: it is not said to be JSON.
        PayloadTooLarge: it has more than `max_bytes`.
        MalformedRequest: it cannot be parsed, or is nested too deeply.
        InvalidRequest: it is no object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    body = await _read(request, max_bytes)
    try:
        content: object = json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest from error
    if not isinstance(content, dict):
        raise InvalidRequest(errors=[{"field": "", "detail": "must be a JSON object"}])
    return content  # pyright: ignore[reportUnknownVariableType] (names are text in JSON)


async def _read(request: Request, max_bytes: int) -> bytes:
    """Read at most `max_bytes`; of what is over, some more is read and dropped.

    A server that answers and closes while the client is still sending resets the connection, and
    the client never sees the answer.
    """
    body, dropped_bytes = bytearray(), 0
    async for chunk in request.stream():
        if len(body) + len(chunk) <= max_bytes and not dropped_bytes:
            body += chunk
        else:
            dropped_bytes += len(chunk)
        if dropped_bytes > 4 * max_bytes:
            break
    if dropped_bytes:
        detail = f"The body is larger than {max_bytes // 1024} KB."
        raise PayloadTooLarge(detail, headers={"connection": "close"})
    return bytes(body)


def _refuse(constant: str) -> object:
    message = f"{constant} is not JSON"
    raise ValueError(message)
