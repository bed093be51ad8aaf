"""Responses: JSON, and problem details."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from lib.problems import Problem
from lib.runtime.trace import trace


def json_response(
    content: object, headers: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    """Return a JSON response: times as ISO 8601, UUIDs as text, characters unescaped.

    Args:
        content: JSON values, times, UUIDs, and objects with a method `to_json`.
        headers: further headers.
        status: HTTP status.
    """
    body = json.dumps(content, default=plain_json, ensure_ascii=False, separators=(",", ":"))
    all_headers = dict(headers or {}) | NO_STORE
    return Response(body.encode(), status, media_type="application/json", headers=all_headers)


NO_STORE = {"cache-control": "no-store"}


def problem_response(problem: Problem) -> Response:
    """Return problem details (RFC 9457) with the request's id, under which the log has more."""
    body = problem.body() | {"request_id": trace().request_id}
    return Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers | NO_STORE,
    )


def plain_json(value: Any) -> object:  # noqa: ANN401 (any value json cannot write)
    """Turn a value that `json` cannot write into one that it can, as its parameter `default`.

    An object with a method `to_json` becomes its result, a time ISO 8601, any other value text.
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    # In UTC, because the database's role may have another time zone.
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
