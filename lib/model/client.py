"""The model: any OpenAI-compatible provider, asked through the `openai` package, read by ourselves.

The package makes a pydantic object of each chunk, which costs 166 to 195 ms of CPU for 1,000
tokens; reading the lines costs a fraction of that. So the package sends the request (keys, base
URL, errors) and hands over its raw response.

Imported by the chat function alone, with its first message: `import openai` takes about 230 ms.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from http import HTTPStatus
from math import isfinite
from typing import Any, cast
from urllib.request import getproxies

import httpx2
import openai
from openai import AsyncAPIResponse

from lib.model._connection import BODY, ModelTransport
from lib.model.reply import CallPiece, Events, GarbledStreamError, Reply, pieces_in
from lib.problems import AnswerWithheld, ModelFailed, ModelOverloaded, ModelRefused, ModelTimeout
from lib.settings import settings

# As the event loop sees it: 400 questions at once on a busy machine kept it from the last of their
# connections for more than 5 s, long after the provider had taken them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Between two pieces of the provider's answer, and before the first. Who is silent for longer is
# taken for dead, which leaves time to say so before the function's deadline.
SILENCE_TIMEOUT_SECONDS = 30.0
OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
NO_OPTIONS: Mapping[str, Any] = {}
MAX_RETRY_AFTER_SECONDS = 3600.0


async def stream_answer(
    model: str,
    messages: list[dict[str, Any]],
    reply: Reply,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> AsyncGenerator[str | CallPiece]:
    """Ask a model and yield the pieces of its answer as they come: text, and tool calls.

    Args:
        model: which, by the provider's name.
        messages: the conversation in the provider's form.
        reply: filled in on the way.
        options: further parameters of the provider's API: tools, tool_choice, response_format. Tool
            calls are read only if tools are given.

    Raises:
        ModelRefused: wrong key, model or settings.
        ModelOverloaded: the provider says 429, 503 or 529.
        ModelTimeout: no connection, or not a byte for SILENCE_TIMEOUT_SECONDS.
        AnswerWithheld: a content filter let nothing through.
        ModelFailed: any other failure; also a stream that was cut, garbled, or held no answer.
    """
    events, has_tools, is_empty = Events(), "tools" in options, True
    try:
        async with _request(model, messages, options) as response:
            async for received in _body_of(response.http_response):
                for chunk in events.feed(received):
                    for piece in pieces_in(chunk, reply, has_tools=has_tools):
                        is_empty = False
                        yield piece
                if events.are_over:
                    break
    except (openai.APIError, httpx2.HTTPError, httpx2.StreamError, GarbledStreamError) as error:
        # What goes wrong after the finish reason is no matter.
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
    chosen = settings()
    return openai.AsyncOpenAI(
        http_client=_http_client(),
        api_key=chosen.openai_api_key,
        base_url=chosen.openai_base_url,
        timeout=httpx2.Timeout(SILENCE_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        # The package would wait up to a minute between its tries, while the user waits and the
        # function is paid for. The client is told when to try again instead; that costs nothing,
        # since its message is stored.
        max_retries=0,
    )


def _http_client() -> httpx2.AsyncClient | None:
    """Return what speaks HTTP; None: what the package has for that."""
    if getproxies():
        # As the environment says, which a transport of one's own would take no notice of.
        return None
    return openai.DefaultAsyncHttpxClient(transport=ModelTransport())


async def close() -> None:
    """Close the connections to the provider; the next question opens new ones."""
    if _client.cache_info().currsize:
        await _client().close()
        _client.cache_clear()


def _body_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return the body of a response as it comes: past four generators, where it is as it was sent.

    Of each token they took 5% of the processor.
    """
    body: httpx2.AsyncByteStream | None = response.extensions.get(BODY)
    is_encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if body is None or is_encoded else aiter(body)


def _problem_of(error: Exception) -> ModelFailed:
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ModelTimeout()
    if not isinstance(error, openai.APIStatusError):
        return ModelFailed()
    if error.status_code in OVERLOADED:
        return ModelOverloaded(retry_after_seconds=_retry_after(error))
    if error.status_code in TIMED_OUT:
        return ModelTimeout()
    is_ours = error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return ModelRefused() if is_ours else ModelFailed()


def _retry_after(error: openai.APIStatusError) -> float:
    """Return what the provider says, in seconds, within reason."""
    try:
        said = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return RETRY_AFTER_SECONDS
    return min(max(said, 1.0), MAX_RETRY_AFTER_SECONDS) if isfinite(said) else RETRY_AFTER_SECONDS
