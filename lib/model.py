"""The model: any OpenAI-compatible provider, asked through the `openai` package, read by ourselves.

The package makes a pydantic object of each chunk, which costs 166 to 195 ms of CPU for 1,000
tokens; reading the lines costs a fraction of that. So the package sends the request (keys, base
URL, errors) and hands over its raw response.

Imported by the chat function alone, with its first message: `import openai` takes about 230 ms.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from math import isfinite
from typing import Any, cast
from urllib.request import getproxies

import httpx2
import openai
from openai import AsyncAPIResponse

from lib.model_network import BODY, ModelTransport
from lib.problems import (
    AnswerWithheld,
    ModelFailed,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
)
from lib.settings import settings
from lib.texts import storable_text

# As the event loop sees it: 400 questions at once on a busy machine kept it from the last of their
# connections for more than 5 s, long after the provider had taken them.
CONNECT_TIMEOUT_SECONDS = 10.0
# Between two pieces of the provider's answer, and before the first. Who is silent for longer is
# taken for dead, which leaves time to say so before the function's deadline.
SILENCE_TIMEOUT_SECONDS = 30.0
MAX_EVENT_BYTES = 1024 * 1024
FINISH_REASONS = {"stop", "length", "content_filter", "tool_calls"}
OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
MAX_NAME_CHARS = 255
MAX_TOOL_NAME_CHARS = 64
NO_OPTIONS: Mapping[str, Any] = {}
# Of Postgres.
MAX_INTEGER = 2**31 - 1
MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(slots=True)
class Reply:
    """What a model says of its own answer while it streams.

    Attributes:
        finish_reason: a value of `chat_messages.finish_reason`; None: not finished.
        model_name: as the provider names it.
        prompt_tokens: as the provider counts; None: not said.
        completion_tokens: likewise.
    """

    finish_reason: str | None = None
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call, as it comes.

    Attributes:
        index: which of the calls of this reply.
        id: the call's id; '' but in its first piece, and with some providers always.
        name: the tool's name; '' but in its first piece.
        arguments: more of the arguments' text.
    """

    index: int
    id: str
    name: str
    arguments: str


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
    events, has_tools, is_empty = _Events(), "tools" in options, True
    try:
        async with _request(model, messages, options) as response:
            async for received in _body_of(response.http_response):
                for chunk in events.feed(received):
                    for piece in _pieces_in(chunk, reply, has_tools=has_tools):
                        is_empty = False
                        yield piece
                if events.are_over:
                    break
    except (openai.APIError, httpx2.HTTPError, httpx2.StreamError, _GarbledStreamError) as error:
        # What goes wrong after the finish reason is no matter.
        if reply.finish_reason is None:
            raise _problem_of(error) from error
    if is_empty and reply.finish_reason == "content_filter":
        raise AnswerWithheld
    if is_empty or reply.finish_reason is None:
        raise ModelFailed from _GarbledStreamError(f"{is_empty=}, {reply.finish_reason=}")


class _GarbledStreamError(Exception):
    """The provider's stream is not what the API's description says; never with its content."""


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


class _Events:
    """A provider's event stream, of whose format (WHATWG HTML, "Server-sent events") as much is
    read as such providers use: a `data:` line an event.

    Attributes:
        are_over: `[DONE]` has come.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._rest = b""

    def feed(self, received: bytes) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of the events that are complete by now, up to `[DONE]`.

        Raises:
            _GarbledStreamError: an event has no end, or is no JSON object.
        """
        # As bytes: `str.splitlines` would cut a line at each U+2028 of an answer.
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            message = "an event has no end"
            raise _GarbledStreamError(message)
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self.are_over = True
                return
            yield _object_in(data)


def _object_in(data: bytes) -> dict[str, Any]:
    try:
        # Of bytes, `json` would look first in which encoding they are.
        chunk: object = json.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError:
        message = "an event is not JSON"
        raise _GarbledStreamError(message) from None
    if not isinstance(chunk, dict):
        message = "an event is no object"
        raise _GarbledStreamError(message)
    return chunk  # pyright: ignore[reportUnknownVariableType] (names are text in JSON)


def _pieces_in(chunk: dict[str, Any], reply: Reply, *, has_tools: bool) -> list[str | CallPiece]:
    text = _read_chunk(chunk, reply)
    pieces: list[str | CallPiece] = [text] if text else []
    return [*pieces, *_read_calls(chunk)] if has_tools else pieces


def _read_chunk(chunk: dict[str, Any], reply: Reply) -> str:
    """Note what a chunk says of the reply, and return the text that it brings.

    Raises:
        _GarbledStreamError: it reports an error, or is not of the API's form.
    """
    if chunk.get("error"):
        message = "the provider reported an error in the stream"
        raise _GarbledStreamError(message)
    if reply.model_name is None and isinstance(name := chunk.get("model"), str):
        reply.model_name = storable_text(name)[:MAX_NAME_CHARS]
    if isinstance(usage := chunk.get("usage"), dict):
        counts = cast("dict[str, object]", usage)
        reply.prompt_tokens = _count(counts.get("prompt_tokens"))
        reply.completion_tokens = _count(counts.get("completion_tokens"))
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        return storable_text("".join(_read_choice(choice, reply) for choice in choices))
    except (AttributeError, TypeError) as error:
        message = "a chunk is not of the API's form"
        raise _GarbledStreamError(message) from error


def _read_choice(choice: dict[str, Any], reply: Reply) -> str:
    if reason := choice.get("finish_reason"):
        reply.finish_reason = reason if reason in FINISH_REASONS else "other"
    delta: dict[str, Any] = choice.get("delta") or {}
    return delta.get("content") or delta.get("refusal") or ""


def _read_calls(chunk: dict[str, Any]) -> Iterator[CallPiece]:
    """Yield the pieces of tool calls that a chunk brings.

    Raises:
        _GarbledStreamError: it is not of the API's form.
    """
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        for choice in choices:
            delta: dict[str, Any] = choice.get("delta") or {}
            calls: list[dict[str, Any]] = delta.get("tool_calls") or []
            for call in calls:
                function: dict[str, Any] = call.get("function") or {}
                arguments = function.get("arguments") or ""
                yield CallPiece(
                    index=int(call.get("index") or 0),
                    id=storable_text(str(call.get("id") or ""))[:MAX_NAME_CHARS],
                    name=storable_text(function.get("name") or "")[:MAX_TOOL_NAME_CHARS],
                    # Some servers send them as an object, against the API's description.
                    arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
                )
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        message = "a tool call is not of the API's form"
        raise _GarbledStreamError(message) from error


def _count(said: object) -> int | None:
    """Return a number of tokens, if it is one: a strange one must not cost the answer."""
    return said if isinstance(said, int) and 0 <= said <= MAX_INTEGER else None


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
