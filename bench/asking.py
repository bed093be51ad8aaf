"""A client that asks for one answer over a socket: an HTTP library costs more than it measures."""

import asyncio
import json
import time
from dataclasses import dataclass
from uuid import UUID

from tests.support.runtime import invocation_headers


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client got.

    Attributes:
        first_ms: from its request to the first token.
        is_whole: the stream came to its end.
    """

    first_ms: float
    is_whole: bool


async def ask(
    base_url: str,
    conversation_id: UUID,
    seconds: float,
    *,
    token: str | None = None,
    message: str = "Hello!",
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a message to a function, and return its connection, whose response is to be read.

    Args:
        base_url: of the function.
        conversation_id: of the message.
        seconds: how long the function may run.
        token: of the user; None: nobody in particular.
        message: the text.
    """
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    asked = {"message": message, "stream": True, "conversation_id": str(conversation_id)}
    body = json.dumps(asked).encode()
    headers = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **({} if token is None else {"authorization": f"Bearer {token}"}),
        **invocation_headers(seconds),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /api/chat HTTP/1.1\r\n{lines}\r\n".encode() + body)
    return reader, writer


async def hear(
    base_url: str,
    conversation_id: UUID,
    seconds: float,
    *,
    token: str | None = None,
    message: str = "Hello!",
) -> Heard:
    """Ask, and be the client of the stream until its end.

    Args:
        base_url: see `ask`.
        conversation_id: likewise.
        seconds: likewise.
        token: likewise.
        message: likewise.
    """
    started, first = time.monotonic(), None
    reader, writer = await ask(base_url, conversation_id, seconds, token=token, message=message)
    tail = b""
    while received := await reader.read(65_536):
        if first is None and b"text-delta" in received:
            first = time.monotonic()
        tail = (tail + received)[-64:]
    writer.close()
    return Heard(((first or time.monotonic()) - started) * 1000, b"[DONE]" in tail)
