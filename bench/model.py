"""A model that speaks at a steady pace, and a client of one stream; both cheap."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import ClassVar, Self
from uuid import uuid4

CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model"}


class PacedModel:
    """An OpenAI-compatible provider.

    Attributes:
        UNKNOWN: a model that it does not have: the title's, which is not what is measured.
        port: of 127.0.0.1.
        tokens: how many an answer has.
        seconds_between: two of its tokens; the first is said at once.
    """

    UNKNOWN: ClassVar = "title-model"

    def __init__(self) -> None:
        """Listen nowhere yet."""
        self.port = 0
        self.tokens = 2
        self.seconds_between = 0.0

    @classmethod
    async def start(cls) -> Self:
        """Start one."""
        model = cls()
        server = await asyncio.start_server(model.answer, "127.0.0.1", 0, backlog=1000)
        model.port = server.sockets[0].getsockname()[1]
        return model

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if self.UNKNOWN.encode() in await reader.readexactly(int(length)):
            writer.write(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            writer.close()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        tokens, between, started = self.tokens, self.seconds_between, time.monotonic()
        for number in range(tokens):
            writer.write(TOKEN)
            if between:
                await asyncio.sleep(started + (number + 1) * between - time.monotonic())
        writer.write(END)
        writer.close()


def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """Return one event of the provider's stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps(CHUNK | {'choices': [choice]})}\n\n".encode()


TOKEN = chunk({"content": " token"})
END = chunk({}, "stop") + b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client got.

    Attributes:
        first_ms: from its request to the first token.
        is_whole: the stream came to its end.
    """

    first_ms: float
    is_whole: bool


async def ask(base_url: str, headers: dict[str, str]) -> Heard:
    """Be the client of one stream, in a conversation of its own."""
    host, port = base_url.removeprefix("http://").split(":")
    body = json.dumps(
        {"message": "Hello!", "stream": True, "conversation_id": str(uuid4())}
    ).encode()
    lines = "".join(
        f"{name}: {value}\r\n"
        for name, value in {
            "host": host,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **headers,
        }.items()
    )
    started, first = time.monotonic(), None
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /api/chat HTTP/1.1\r\n{lines}\r\n".encode() + body)
    tail = b""
    while received := await reader.read(65_536):
        if first is None and b"text-delta" in received:
            first = time.monotonic()
        tail = (tail + received)[-64:]
    writer.close()
    return Heard(((first or time.monotonic()) - started) * 1000, b"[DONE]" in tail)
