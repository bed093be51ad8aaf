"""Why a request to the provider failed, and the problem that a client gets for it."""

from http import HTTPStatus
from math import isfinite
from typing import Any

import httpx2
import openai

from lib.model.reply import ProviderError
from lib.problems import (
    AnswerWithheld,
    ModelFailed,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
)

OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
# Codes and types of an error in a response of 200, which has no other status.
OVERLOADED_CODES = {
    "insufficient_quota",
    "overloaded",
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "resource_exhausted",
    "unavailable",
}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0


def problem_of(error: Exception) -> ModelFailed:
    """Return the problem that an error of the provider, or of the way to it, is for a client."""
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ModelTimeout()
    if isinstance(error, ProviderError):
        return _reported_problem(error.error)
    if not isinstance(error, openai.APIStatusError):
        return ModelFailed()
    if error.status_code in OVERLOADED:
        return ModelOverloaded(retry_after_seconds=_retry_after(error))
    if error.status_code in TIMED_OUT:
        return ModelTimeout()
    is_refusal = error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return ModelRefused() if is_refusal else ModelFailed()


def _reported_problem(error: dict[str, Any]) -> ModelFailed:
    """Return the problem for an error object in a response of 200."""
    names = {str(error.get(field) or "").lower() for field in ("code", "type", "status")}
    status = next((int(name) for name in names if name.isascii() and name.isdigit()), 0)
    if status in OVERLOADED or names & OVERLOADED_CODES:
        return ModelOverloaded(retry_after_seconds=RETRY_AFTER_SECONDS)
    if status in TIMED_OUT:
        return ModelTimeout()
    if "content_filter" in names:
        return AnswerWithheld()
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return ModelRefused() if is_refusal else ModelFailed()


def _retry_after(error: openai.APIStatusError) -> float:
    """Return the provider's Retry-After in seconds, within reason."""
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return RETRY_AFTER_SECONDS
    if not isfinite(seconds):
        return RETRY_AFTER_SECONDS
    return min(max(seconds, 1.0), MAX_RETRY_AFTER_SECONDS)
