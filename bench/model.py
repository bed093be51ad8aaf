"""A model that speaks at a steady pace, and cheaply."""

import asyncio
import json
import re
import time
from itertools import cycle
from typing import ClassVar, Self

from bench.words import Speaker

CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model"}


class PacedModel:
    """An OpenAI-compatible provider.

    Attributes:
        UNKNOWN: a model that it does not have: the title's, which is not what is measured.
        TITLES: the model that says a title, at once.
        port: of 127.0.0.1.
        tokens: how many an answer has.
        seconds_between: two of its tokens; the first is said at once.
    """

    UNKNOWN: ClassVar = "title-model"
    TITLES: ClassVar = "model-of-titles"

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
        asked = await reader.readexactly(int(length))
        if self.UNKNOWN.encode() in asked:
            writer.write(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            writer.close()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        if self.TITLES.encode() in asked:
            writer.write(chunk({"content": "What to do today"}) + END)
            writer.close()
            return
        tokens, between, started = self.tokens, self.seconds_between, time.monotonic()
        for number in range(tokens):
            writer.write(next(TOKENS))
            if between:
                await asyncio.sleep(started + (number + 1) * between - time.monotonic())
        writer.write(END)
        writer.close()


def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """Return one event of the provider's stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps(CHUNK | {'choices': [choice]})}\n\n".encode()


# Of real words, each as far from the next as in a text.
TOKENS = cycle([chunk({"content": f" {word}"}) for word in Speaker().words(10_000)])
END = chunk({}, "stop") + b"data: [DONE]\n\n"
