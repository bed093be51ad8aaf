"""Bare, as a function: what bench.function compares the chat function with.

An ASGI application without a framework. It stores the question and reads the conversation
(bench.candidates.bare), asks the model over a socket, copies the bytes of its stream as they come,
and stores them as the answer. It knows neither users nor tools nor titles, and checks nothing.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from starlette.types import Receive, Scope, Send

from bench.candidates.bare import Bare
from bench.workload import Place

USER = "user-0"
BARE = Bare(Place(os.environ["DATABASE_URL"], 1))
ASKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Take a turn."""
    if scope["type"] != "http":
        return
    asked = json.loads(await read_body(receive))
    conversation = UUID(asked["conversation_id"])
    messages = await BARE.begin(conversation, USER, asked["message"])
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    answer = b""
    async for received in stream(messages):
        answer += received
        await send({"type": "http.response.body", "body": received, "more_body": True})
    await BARE.finish(conversation, USER, answer.decode())
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_body(receive: Receive) -> bytes:
    """Return the body of the request."""
    body, message = b"", await receive()
    while message.get("more_body"):
        body += message["body"]
        message = await receive()
    return body + message["body"]


async def stream(messages: list[tuple[Any, ...]]) -> AsyncGenerator[bytes]:
    """Ask the model, and yield what it says, after the head of its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["MODEL_PORT"]))
    told = [{"role": role, "content": content} for _, _, role, content, _ in reversed(messages)]
    body = json.dumps({"model": "test-model", "messages": told, "stream": True}).encode()
    writer.write(ASKED % (len(body), body))
    await reader.readuntil(b"\r\n\r\n")
    while received := await reader.read(65_536):
        yield received
    writer.close()
