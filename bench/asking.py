"""A client that asks for one answer over a socket: an HTTP library costs more than it measures."""

import asyncio
import json
from uuid import UUID

from tests.support.runtime import invocation_headers


async def ask(
    base_url: str, conversation_id: UUID, seconds: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a message to a function, and return its connection, whose response is to be read.

    Args:
        base_url: of the function.
        conversation_id: of the message.
        seconds: how long the function may run.
    """
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    asked = {"message": "Hello!", "stream": True, "conversation_id": str(conversation_id)}
    body = json.dumps(asked).encode()
    headers = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **invocation_headers(seconds),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /api/chat HTTP/1.1\r\n{lines}\r\n".encode() + body)
    return reader, writer
