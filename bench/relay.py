"""A server that passes a model's stream on as parts, and does nothing else: bare, for streams.

    python -m bench.relay <port of the model> bare      a loop over sockets
    python -m bench.relay <port of the model> openai    the package `openai` and its stream objects

It keeps nothing, checks nothing and knows no deadline. It prints the port that it listens on.
"""

import asyncio
import json
import re
import sys

import openai

from lib.streams import parts as ui_stream

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n"
)
QUESTION = json.dumps(
    {"model": "test-model", "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
).encode()
ASKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(QUESTION), QUESTION)
)


async def main() -> None:
    """Serve until the process is ended."""
    port, how = int(sys.argv[1]), sys.argv[2]
    client = openai.AsyncOpenAI(api_key="sk-test", base_url=f"http://127.0.0.1:{port}/v1")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)\r\ncontent-length: *(\d+)", head)
        await reader.readexactly(int(length))
        writer.write(HEAD)
        if how == "bare":
            await pass_bytes_on(port, writer)
        else:
            await pass_objects_on(client, writer)
        send(writer, ui_stream.DONE)
        writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def pass_bytes_on(port: int, writer: asyncio.StreamWriter) -> None:
    """Ask the model over a socket, and pass on what it says."""
    reader, model = await asyncio.open_connection("127.0.0.1", port)
    model.write(ASKED)
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                if piece := choice["delta"].get("content"):
                    send(writer, ui_stream.text_delta(0, piece))
                    await writer.drain()
    model.close()


async def pass_objects_on(client: openai.AsyncOpenAI, writer: asyncio.StreamWriter) -> None:
    """Ask the model by the package, and pass on what it says."""
    stream = await client.chat.completions.create(
        model="test-model", messages=[{"role": "user", "content": "Hello!"}], stream=True
    )
    async for chunk in stream:
        for choice in chunk.choices:
            if piece := choice.delta.content:
                send(writer, ui_stream.text_delta(0, piece))
                await writer.drain()


def send(writer: asyncio.StreamWriter, part: bytes) -> None:
    """Send a part as a chunk (RFC 9112, section 7.1)."""
    writer.write(b"%x\r\n%b\r\n" % (len(part), part))


if __name__ == "__main__":
    asyncio.run(main())
