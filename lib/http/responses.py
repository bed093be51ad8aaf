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
    """Answer with JSON: dates as ISO 8601, UUIDs as text, characters as they are.

    Args:
        content: what `json` can write, dates, UUIDs, and what has a method `to_json`.
        headers: further headers.
        status: HTTP status.
    """
    body = json.dumps(content, default=plain_json, ensure_ascii=False, separators=(",", ":"))
    named = dict(headers or {}) | NO_STORE
    return Response(body.encode(), status, media_type="application/json", headers=named)


NO_STORE = {"cache-control": "no-store"}


def problem_response(problem: Problem) -> Response:
    """Answer with problem details (RFC 9457), and the id under which the log tells more."""
    body = problem.body() | {"request_id": trace().request_id}
    return Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers | NO_STORE,
    )


def plain_json(value: Any) -> object:  # noqa: ANN401 (whatever json could not write)
    """Return what `json` cannot write as what it can: for its parameter `default`.

    What has a method `to_json` is what that returns, a time is ISO 8601, all else a text.
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    # In UTC, whatever the time zone of the database's role is.
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
