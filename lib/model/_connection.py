"""HTTP/1.1 to the model, beneath the package `openai`: by h11, over asyncio's own connections.

By itself that package's HTTP client (httpx2 over httpcore2 and anyio) passes each piece of an
answer through a dozen generators, cancel scopes and locks, and an answer has hundreds of pieces.
"""

import asyncio
import select
import ssl
import time
from collections.abc import AsyncGenerator
from typing import cast, override

import h11
import httpx2

from lib.runtime.timers import Waiter

# So much is read ahead of who reads.
MOST_BYTES = 256 * 1024
MAX_HEAD_BYTES = 100 * 1024
# So long a connection is kept for the next question. Servers (uvicorn, Node, llama.cpp) close it
# after 5 s: a question that just then is on its way would be lost.
IDLE_SECONDS = 3.0
# So many are kept, as that client does.
MOST_IDLE = 100
# A response's extension: its body, without what the client puts around it.
BODY = "parley_body"
type Origin = tuple[str, str, int]


class ModelTransport(httpx2.AsyncBaseTransport):
    """What sends the requests of an `httpx2.AsyncClient`, and keeps connections for the next."""

    def __init__(self) -> None:
        """Connect nowhere yet."""
        self._idle: list[Connection] = []
        self._tls: ssl.SSLContext | None = None

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and wait for the head of its response.

        Raises:
            httpx2.TransportError: there is no connection, or it was lost, or does not speak HTTP.
        """
        seconds: dict[str, float | None] = request.extensions.get("timeout", {})
        connection = self._take_idle(_origin_of(request.url))
        if connection is None:
            connection = await self._connect(request.url, seconds.get("connect"))
        try:
            await connection.send(request, seconds.get("write"))
            head = await connection.receive_head(seconds.get("read"))
        except BaseException:
            connection.abort()
            raise
        body = _Body(self, connection, seconds.get("read"))
        return httpx2.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=body,
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": head.reason,
                BODY: body,
            },
        )

    def take_back(self, connection: "Connection") -> None:
        """Keep a connection for the next request, if its response has come to its end."""
        if connection.begin_anew() and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()

    @override
    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().abort()
        # The event loop closes their sockets in its next round, which may be its last.
        await asyncio.sleep(0)

    def _take_idle(self, origin: Origin) -> "Connection | None":
        """Return the connection that was used last; what is of no use any more is closed."""
        usable = [each for each in self._idle if each.is_usable]
        for connection in self._idle:
            if connection not in usable:
                connection.abort()
        found = next((each for each in reversed(usable) if each.origin == origin), None)
        self._idle = [each for each in usable if each is not found]
        return found

    async def _connect(self, url: httpx2.URL, seconds: float | None) -> "Connection":
        scheme, host, port = origin = _origin_of(url)
        context = self._checking_certificates() if scheme == "https" else None
        try:
            async with asyncio.timeout(seconds):
                # One address after the other: asked to try several at once, asyncio leaves a socket
                # open when it is cancelled (CPython 3.12.1).
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(origin), host, port, ssl=context
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        return connection

    def _checking_certificates(self) -> ssl.SSLContext:
        # When it is needed, since to load the authorities takes 32 ms.
        if self._tls is None:
            self._tls = httpx2.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Body(httpx2.AsyncByteStream):
    """The body of a response, as it comes."""

    def __init__(
        self, transport: ModelTransport, connection: "Connection", seconds: float | None
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._seconds = seconds
        self._is_closed = False

    @override
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while isinstance(event := await self._connection.receive(self._seconds), h11.Data):
            yield bytes(event.data)

    @override
    async def aclose(self) -> None:
        # Once: by the second time somebody else may have the connection.
        if not self._is_closed:
            self._is_closed = True
            self._transport.take_back(self._connection)


class Connection(asyncio.Protocol):
    """One connection: what has come on it waits here to be read.

    Attributes:
        origin: scheme, host and port.
    """

    _transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        """Take where it leads; the event loop tells of what happens on it."""
        self.origin = origin
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._received = bytearray()
        self._is_paused = False
        self._is_full = False
        self._is_over = False
        self._error: Exception | None = None
        self._waiter = Waiter()
        self._idle_until = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MOST_BYTES:
            self._is_paused = True
            self._transport.pause_reading()
        self._waiter.wake()

    @override
    def eof_received(self) -> None:
        self._is_over = True
        self._waiter.wake()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._error, self._is_full = True, exc, False
        self._waiter.wake()
        self._waiter.close()

    @override
    def pause_writing(self) -> None:
        self._is_full = True

    @override
    def resume_writing(self) -> None:
        self._is_full = False
        self._waiter.wake()

    async def send(self, request: httpx2.Request, seconds: float | None) -> None:
        """Send a request, all of it at once.

        To who has left it is not an error yet: they may have answered before.

        Raises:
            httpx2.LocalProtocolError: it cannot be said in HTTP.
            httpx2.WriteTimeout: the server did not take it for so long.
        """
        parts = [self._http.send(_head_of(request))]
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        parts += [self._http.send(h11.Data(data=piece)) async for piece in request.stream]
        parts.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(part for part in parts if part))
        while self._is_full and not self._received and not self._is_over:
            if not await self._waiter.wait(seconds):
                raise httpx2.WriteTimeout("")

    async def receive_head(self, seconds: float | None) -> h11.Response:
        """Wait for the head of the response.

        Raises:
            httpx2.TransportError: see `receive`.
        """
        event = await self.receive(seconds)
        while isinstance(event, h11.InformationalResponse):
            event = await self.receive(seconds)
        if not isinstance(event, h11.Response):
            message = f"not a response, but {type(event).__name__}"
            raise httpx2.RemoteProtocolError(message)
        return event

    async def receive(self, seconds: float | None) -> h11.Event | type[h11.PAUSED]:
        """Wait for what comes next in the response.

        Raises:
            httpx2.ReadTimeout: nothing came for so long.
            httpx2.ReadError: the connection was lost.
            httpx2.RemoteProtocolError: it ended too early, or what came is no HTTP.
        """
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx2.RemoteProtocolError(str(error)) from error
            if event is not h11.NEED_DATA:
                return cast("h11.Event | type[h11.PAUSED]", event)
            while not self._received and not self._is_over:
                if not await self._waiter.wait(seconds):
                    raise httpx2.ReadTimeout("")
            if not self._received and self._error is not None:
                raise httpx2.ReadError(str(self._error)) from self._error
            # What is empty is the end.
            self._http.receive_data(self._take_received())

    def begin_anew(self) -> bool:
        """Be ready for another request, if what has come already is the response's end."""
        if self._transport.get_write_buffer_size():
            # It was answered before it was taken, and may never be.
            return False
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._http.next_event() is h11.NEED_DATA:
                    if not self._received:
                        return False
                    self._http.receive_data(self._take_received())
            self._http.start_next_cycle()
        except h11.ProtocolError:
            return False
        if self._received or self._http.trailing_data[0]:
            # More than was asked for: the next question would take it for its answer.
            return False
        self._waiter.close()
        self._idle_until = time.monotonic() + IDLE_SECONDS
        return True

    @property
    def is_usable(self) -> bool:
        """Whether one that rests can be used again.

        Not if the server has said something, or has left, even if the event loop has not come to
        see it.
        """
        if self._is_over or self._received or time.monotonic() > self._idle_until:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        """Close it, at once: who does wants no answer any more."""
        self._transport.abort()

    def _take_received(self) -> bytes:
        received = bytes(self._received)
        self._received.clear()
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return received


def _head_of(request: httpx2.Request) -> h11.Request:
    try:
        return h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
    except h11.LocalProtocolError as error:
        raise httpx2.LocalProtocolError(str(error)) from error


def _origin_of(url: httpx2.URL) -> Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.raw_host.decode("ascii"), port
