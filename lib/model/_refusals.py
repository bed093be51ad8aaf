"""Why a request to the provider failed, and the problem that a client gets for it."""

from http import HTTPStatus
from math import isfinite

import httpx2
import openai

from lib.problems import ModelFailed, ModelOverloaded, ModelRefused, ModelTimeout

OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0


def problem_of(error: Exception) -> ModelFailed:
    """Return the problem that an error of the provider, or of the way to it, is for a client."""
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ModelTimeout()
    if not isinstance(error, openai.APIStatusError):
        return ModelFailed()
    if error.status_code in OVERLOADED:
        return ModelOverloaded(retry_after_seconds=_retry_after(error))
    if error.status_code in TIMED_OUT:
        return ModelTimeout()
    is_refusal = error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
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
