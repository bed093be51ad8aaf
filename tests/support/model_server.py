"""An OpenAI-compatible server with scripted answers.

It speaks real HTTP, so the real `openai` client asks it; only the words are scripted.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.support.serving import answer_while_present

MODEL_NAME = "scripted-1"
# OPENAI_TITLE_MODEL in tests, which marks requests for titles.
TITLE_MODEL = "title-model"
# OPENAI_ANALYSIS_MODEL in tests of analyses, which marks their requests.
ANALYSIS_MODEL = "analysis-model"
DEFAULT_PIECES = ("Hello", ", how", " are", " you?")


@dataclass(slots=True, kw_only=True)
class Reply:
    """A scripted response to one request.

    Attributes:
        pieces: the answer's text, in the pieces that it is streamed in.
        finish_reason: None: the stream ends without one.
        seconds_before: silence before the answer begins, HTTP headers included.
        until: further silence until this is set.
        pauses_after: the number of pieces after which to wait for `until`; None: before the answer.
        seconds_between: silence before each piece, or chunk, but the first.
        hangs_after: the number of pieces after which the stream falls silent for good.
        cuts_after: the number of pieces after which the connection is cut.
        garbles_after: the number of pieces after which an event is not JSON.
        status: the HTTP status; any but 200 is an error.
        error: the body of the error, as JSON; a text is sent as it is.
        headers: further headers.
        chunks: sent as they are, instead of `pieces`.
        body: sent as it is, instead of both, each item at once.
        beats: after the body, comments follow for good.
    """

    pieces: tuple[str, ...] = DEFAULT_PIECES
    finish_reason: str | None = "stop"
    seconds_before: float = 0.0
    until: asyncio.Event | None = None
    pauses_after: int | None = None
    seconds_between: float = 0.0
    hangs_after: int | None = None
    cuts_after: int | None = None
    garbles_after: int | None = None
    status: int = 200
    error: object = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunks: list[dict[str, Any]] | None = None
    body: list[bytes] | None = None
    beats: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call of a scripted reply.

    Attributes:
        name: the tool's.
        arguments: as JSON; a text is sent as it is.
        id: the call's id.
    """

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict[str, Any])
    id: str = "call_1"


def calling(*calls: Called, text: str = "", finish_reason: str = "tool_calls") -> Reply:
    """Return a reply that calls tools, the arguments in two pieces, after the text if any."""
    chunks = [chunk({"content": text})] if text else []
    for index, call in enumerate(calls):
        arguments = call.arguments
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        half = len(arguments) // 2
        begin = {"name": call.name, "arguments": arguments[:half]}
        first = {"index": index, "id": call.id, "type": "function", "function": begin}
        second = {"index": index, "function": {"arguments": arguments[half:]}}
        chunks += [chunk({"tool_calls": [first]}), chunk({"tool_calls": [second]})]
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    end: dict[str, Any] = {"model": MODEL_NAME, "choices": [], "usage": usage}
    return Reply(chunks=[*chunks, chunk({}, finish_reason), end])


class ScriptedModel:
    """An ASGI app that plays the provider.

    Attributes:
        replies: of the next requests, one after the other; then `default`.
        default: the reply to all further requests.
        choose: picks a reply by the request's body, instead of both.
        requests: the bodies of the requests for answers, oldest first.
        on_request: called with each request for an answer.
        title_reply: the reply to each request for a title; unless set, an unknown model.
        title_requests: the bodies of the requests for titles.
        analysis_reply: the reply to each request for an analysis; unless set, an unknown model.
        analysis_requests: the bodies of the requests for analyses.
        left: the number of clients that left before their answer was complete.
        base_url: set by the fixture that serves it.
    """

    def __init__(self) -> None:
        """Begin with nothing scripted."""
        self.replies: list[Reply] = []
        self.default = Reply()
        self.choose: Callable[[dict[str, Any]], Reply] = self._next
        self.requests: list[dict[str, Any]] = []
        self.on_request: Callable[[], None] = lambda: None
        self.title_reply = Reply(status=404)
        self.title_requests: list[dict[str, Any]] = []
        self.analysis_reply = Reply(status=404)
        self.analysis_requests: list[dict[str, Any]] = []
        self.left = 0
        self.base_url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.json()
        reply = self._reply_to(body)
        answer = self._answer(reply, body, scope, receive, send)
        if not await answer_while_present(answer, receive):
            self.left += 1

    def _reply_to(self, body: dict[str, Any]) -> Reply:
        if body["model"] == TITLE_MODEL:
            self.title_requests.append(body)
            return self.title_reply
        if body["model"] == ANALYSIS_MODEL:
            self.analysis_requests.append(body)
            return self.analysis_reply
        self.requests.append(body)
        self.on_request()
        return self.choose(body)

    def _next(self, _body: dict[str, Any]) -> Reply:
        return self.replies.pop(0) if self.replies else self.default

    async def _answer(
        self, reply: Reply, body: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        await asyncio.sleep(reply.seconds_before)
        if reply.until is not None and reply.pauses_after is None:
            await reply.until.wait()
        if reply.status != 200:
            error = {
                "message": "sk-secret says: the provider's own words",
                "type": "x",
                "code": "x",
            }
            content = {"error": error} if reply.error is None else reply.error
            kind = PlainTextResponse if isinstance(content, str) else JSONResponse
            response = kind(content, reply.status, headers=reply.headers)
            await response(scope, receive, send)
            return
        headers = {"content-type": "text/event-stream"} | reply.headers
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        has_usage = "stream_options" in body
        events = _body(reply.body, reply) if reply.body else _events(reply, has_usage=has_usage)
        async for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class ConnectionCutError(Exception):
    """Makes the server drop the connection in the middle of a response."""


async def _scripted_events(chunks: list[dict[str, Any]], reply: Reply) -> AsyncIterator[bytes]:
    for index, chunk in enumerate(chunks):
        await _pause(reply, index)
        await asyncio.sleep(reply.seconds_between if index else 0)
        yield encoded(chunk)
        if index == reply.hangs_after:
            await asyncio.sleep(3600)
    yield b"data: [DONE]\n\n"


async def _body(body: list[bytes], reply: Reply) -> AsyncIterator[bytes]:
    for each in body:
        yield each
        # So that the bytes leave by themselves.
        await asyncio.sleep(0.01)
    while reply.beats:
        yield b": heartbeat\n\n"
        await asyncio.sleep(0.05)


async def _pause(reply: Reply, index: int) -> None:
    if index == reply.pauses_after and reply.until is not None:
        await reply.until.wait()


async def _events(reply: Reply, *, has_usage: bool) -> AsyncIterator[bytes]:
    if reply.chunks is not None:
        async for event in _scripted_events(reply.chunks, reply):
            yield event
        return
    for index, piece in enumerate((*reply.pieces, None)):
        if index == reply.hangs_after:
            await asyncio.sleep(3600)
        await _pause(reply, index)
        if index == reply.cuts_after:
            raise ConnectionCutError
        if index == reply.garbles_after:
            yield b"data: {garbled\n\n"
            return
        if piece is not None:
            await asyncio.sleep(reply.seconds_between if index else 0)
            yield encoded(chunk({"content": piece}))
    if reply.finish_reason is not None:
        yield encoded(chunk({}, reply.finish_reason))
        if has_usage:
            usage = {"prompt_tokens": 7, "completion_tokens": len(reply.pieces)}
            yield encoded({"model": MODEL_NAME, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


def chunk(
    delta: dict[str, Any] | None, finish_reason: str | None = None, model: str = MODEL_NAME
) -> dict[str, Any]:
    """Return a chunk of Chat Completions; without a delta it has no choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": [] if delta is None else [choice],
    }


def encoded(content: dict[str, Any]) -> bytes:
    """Return an event of a stream as bytes."""
    return f"data: {json.dumps(content)}\n\n".encode()
