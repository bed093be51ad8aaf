"""A TCP proxy before Postgres, which counts round trips, delays, cuts and listens in."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

# The last message of a step that is committed: type, length, "idle".
READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"


class Proxy:
    """A proxy for connections to one server.

    Attributes:
        delay_seconds: added on the way back from the server, so a client cannot have a result
            before it has sent all that it sends without waiting for one.
        round_trips: how often a client sent something after it had been answered (or at first).
        sent: all that clients sent, as it went over the wire.
        refuses: new connections are reset.
        cuts_answers: the next answer of the server ends all connections instead of passing: what it
            answers to has been done, but the client does not learn of it.
    """

    def __init__(self, host: str, port: int) -> None:
        """Take the server."""
        self._host, self._port = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: list[_Connection] = []
        self.port = 0
        self.delay_seconds = 0.02
        self.round_trips = 0
        self.connections = 0
        self.sent = bytearray()
        self.refuses = False
        self.cuts_answers = False

    def forget(self) -> None:
        """Begin to count anew."""
        self.round_trips = 0
        self.connections = 0
        self.sent.clear()

    def freeze(self) -> None:
        """Let nothing pass on the connections that there are, and end none of them."""
        for connection in self._connections:
            connection.is_frozen = True

    def cut(self) -> None:
        """End all connections, as a network does that breaks: with a reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.refuses:
            writer.transport.abort()
            return
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, server_writer}
        self._writers |= ends
        connection = _Connection(self)
        self._connections.append(connection)
        async with asyncio.TaskGroup() as carrying:
            carrying.create_task(connection.carry(reader, server_writer, is_client=True))
            carrying.create_task(connection.carry(server_reader, writer, is_client=False))
        self._writers -= ends


class _Connection:
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._is_answered = True
        self._is_logged_in = False
        self.is_frozen = False

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if is_client:
                    self._note(data)
                elif self._proxy.cuts_answers and self._is_logged_in:
                    if data.endswith(READY_FOR_QUERY):
                        self._proxy.cuts_answers = False
                        self._proxy.cut()
                    continue
                else:
                    await asyncio.sleep(self._proxy.delay_seconds)
                    self._is_answered = True
                    self._is_logged_in |= data.endswith(READY_FOR_QUERY)
                if self.is_frozen:
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()

    def _note(self, data: bytes) -> None:
        self._proxy.sent += data
        # A single Terminate message is not answered.
        if self._is_answered and data[:1] != b"X":
            self._proxy.round_trips += 1
            self._is_answered = False


@asynccontextmanager
async def proxied(url: str) -> AsyncGenerator[tuple[Proxy, str]]:
    """Put a proxy before the server of a URL; yield it, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    account = parts.netloc.rpartition("@")[0]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{proxy.port}"))
    finally:
        server.close()
        proxy.cut()


def messages_of(sent: bytes) -> list[tuple[str, bytes]]:
    """Split what clients sent after their start-up into protocol messages: type and content.

    Source: PostgreSQL, "Frontend/Backend Protocol", "Message Formats".
    """
    found: list[tuple[str, bytes]] = []
    position = 0
    while position + 5 <= len(sent):
        (length,) = struct.unpack_from("!I", sent, position + 1)
        found.append((chr(sent[position]), bytes(sent[position + 5 : position + 1 + length])))
        position += 1 + length
    return found
