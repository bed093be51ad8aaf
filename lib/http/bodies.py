"""Bodies of requests: JSON objects, read within limits and checked by pydantic models.

The first body imports its model, because pydantic takes long to import and the first request of
most functions is a GET.
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
    """Read a request's body and check it against a model.

    Args:
        request: the request.
        find_model: imports the model, and returns it.

    Raises:
        InvalidRequest: when the body does not fit the model; names each wrong field.
        Problem: see `read_json`.
    """
    return await check_body(await read_json(request), find_model)


async def check_body[Model: BaseModel](
    content: dict[str, Any], find_model: Callable[[], type[Model]]
) -> Model:
    """Check the content of a body against a model.

    Args:
        content: the body, as JSON.
        find_model: imports the model, and returns it.

    Raises:
        InvalidRequest: when the content does not fit the model; names each wrong field.
    """
    model = await load(find_model)
    from lib.http.validation import validate  # noqa: PLC0415 (the model has imported it)

    return validate(model, content)


def has_body(request: Request) -> bool:
    """Tell whether a request has a body, where it may do without (RFC 9112, section 6)."""
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def read_json(request: Request, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Read a request's body, which must be a JSON object.

    Raises:
        UnsupportedMediaType: when its Content-Type is not JSON.
        PayloadTooLarge: when it has more than `max_bytes`.
        MalformedRequest: when it cannot be parsed, or is nested too deeply.
        InvalidRequest: when it is no object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    body = await read_bytes(request, max_bytes)
    try:
        content = read_json_text(body.decode("utf-8"))
    except ValueError as error:
        raise MalformedRequest from error
    if not isinstance(content, dict):
        raise InvalidRequest(errors=[{"field": "", "detail": "must be a JSON object"}])
    return content  # pyright: ignore[reportUnknownVariableType] (names are text in JSON)


def read_json_text(text: str) -> object:
    """Return the JSON in a text.

    Raises:
        ValueError: when it cannot be parsed, has a number that JSON has not, or is nested too
            deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        message = "is nested too deeply"
        raise ValueError(message) from error


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """Read at most `max_bytes`; of a larger body, read and drop some more.

    If the server answered and closed while the client is still sending, the connection would be
    reset, and the client would never see the answer.

    Raises:
        PayloadTooLarge: when it has more than `max_bytes`.
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
