"""The model: any OpenAI-compatible provider, asked through the package `openai`.

The package sends the request (keys, base URL, errors); Parley reads the raw response. The package's
own reader makes a pydantic object of each chunk, which costs 166 to 195 ms of CPU for 1,000 tokens.

Imported with the first message, by the chat function alone: `import openai` takes about 230 ms.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from http import HTTPStatus
from math import isfinite
from typing import Any, cast

import httpx2
import openai
from openai import AsyncAPIResponse

from lib.model._chat_completions import read_chunk
from lib.model._connection import ModelHTTPClient, body_of
from lib.model._events import EventStream
from lib.model.reply import CallPiece, GarbledStreamError, Reply
from lib.problems import AnswerWithheld, ModelFailed, ModelOverloaded, ModelRefused, ModelTimeout
from lib.runtime.shutdown import at_end
from lib.settings import settings

# By the event loop's clock: with 400 requests at once on a busy machine, the loop came to the last
# connections more than 5 s after the provider had accepted them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Before the provider's first byte, and between any two. A longer silence counts as a failure, which
# leaves time to report it before the function's deadline.
SILENCE_TIMEOUT_SECONDS = 30.0
OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0
NO_OPTIONS: Mapping[str, Any] = {}


async def stream_answer(
    model: str,
    messages: list[dict[str, Any]],
    reply: Reply,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> AsyncGenerator[str | CallPiece]:
    """Ask a model and yield the pieces of its answer as they arrive: text, and tool calls.

    Args:
        model: the provider's name of the model.
        messages: the conversation in the provider's form.
        reply: filled in while the answer streams.
        options: further parameters of the provider's API: tools, tool_choice, response_format. Tool
            calls are read only if there are tools.

    Raises:
        ModelRefused: when the key, the model or a parameter is wrong.
        ModelOverloaded: when the provider answers 429, 503 or 529.
        ModelTimeout: when there is no connection in time, or SILENCE_TIMEOUT_SECONDS of silence.
        AnswerWithheld: when a content filter lets nothing through.
        ModelFailed: on any other failure; also when the stream is cut or garbled, or has no answer.
    """
    events, has_tools, is_empty = EventStream(), "tools" in options, True
    try:
        async with _request(model, messages, options) as response:
            async for received in body_of(response.http_response):
                for chunk in events.feed(received):
                    for piece in read_chunk(chunk, reply, has_tools=has_tools):
                        is_empty = False
                        yield piece
                if events.is_done:
                    break
    except (openai.APIError, httpx2.HTTPError, httpx2.StreamError, GarbledStreamError) as error:
        # A failure after the finish reason takes nothing from the answer.
        if reply.finish_reason is None:
            raise _problem_of(error) from error
    if is_empty and reply.finish_reason == "content_filter":
        raise AnswerWithheld
    if is_empty or reply.finish_reason is None:
        raise ModelFailed from GarbledStreamError(f"{is_empty=}, {reply.finish_reason=}")


def _request(
    model: str, messages: list[dict[str, Any]], options: Mapping[str, Any]
) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
    return _client().chat.completions.with_streaming_response.create(
        model=model,
        messages=cast("Any", messages),
        stream=True,
        stream_options={"include_usage": True},
        **options,
    )


@cache
def _client() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        http_client=ModelHTTPClient(follow_redirects=True),
        api_key=settings().openai_api_key,
        base_url=settings().openai_base_url,
        timeout=httpx2.Timeout(SILENCE_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        # The package would wait up to a minute between its tries, while the user waits and the
        # function is paid for. Parley's client learns instead when to try again; that costs
        # nothing, because its message is stored.
        max_retries=0,
    )


async def _close() -> None:
    """Close the connections to the provider; the next request opens new ones."""
    if _client.cache_info().currsize:
        await _client().close()
        _client.cache_clear()


at_end("connections", _close)


def _problem_of(error: Exception) -> ModelFailed:
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
