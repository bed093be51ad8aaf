"""The connection to the model: asyncio's own, beneath the HTTP client of the package `openai`.

That client's own (`anyio`) takes its socket off the event loop and puts it back for each piece that
is read, beneath a cancel scope. An answer comes in hundreds of pieces: beside a bare loop over
sockets (bench.relay) a token took 3.05 times its processor time that way, and takes 2.34 this way.
"""

import asyncio
import select
import ssl
from collections.abc import Iterable
from typing import Any, override

import httpcore2
import httpx2

from lib.waiting import Waiter, wait_for, wake

# So much is read ahead of who reads.
MOST_BYTES = 256 * 1024
NAMES = {"client_addr": "sockname", "server_addr": "peername"}


class ModelTransport(httpx2.AsyncHTTPTransport):
    """The HTTP client's transport, over connections of ours."""

    def __init__(self, *, verify: bool, limits: httpx2.Limits) -> None:
        """Take whether to check certificates, and how many connections there may be."""
        super().__init__(verify=verify, limits=limits)
        # A parameter of the pool, which the transport does not pass on.
        self._pool._network_backend = _Network()  # noqa: SLF001


class _Network(httpcore2.AsyncNetworkBackend):
    """Makes connections."""

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                # One address after the other: asked to try several at once, asyncio leaves a socket
                # open when it is cancelled (CPython 3.12.1).
                _, connection = await loop.create_connection(Connection, host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        return connection


class Connection(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """One connection: what has come on it waits here to be read."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Take nothing; the event loop tells of what happens."""
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._is_over = False
        self._error: Exception | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._waiter: Waiter | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MOST_BYTES:
            self._transport.pause_reading()
        self._wake()

    @override
    def eof_received(self) -> None:
        self._is_over = True
        self._wake()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._error = True, exc
        self._may_write.set()
        self._wake()

    @override
    def pause_writing(self) -> None:
        self._may_write.clear()

    @override
    def resume_writing(self) -> None:
        self._may_write.set()

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._received and not self._is_over:
            self._waiter = self._loop.create_future()
            if not await wait_for(self._waiter, timeout):
                raise httpcore2.ReadTimeout
        if not self._received and self._error is not None:
            raise httpcore2.ReadError(str(self._error)) from self._error
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if len(self._received) <= MOST_BYTES:
            self._transport.resume_reading()
        return data

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._transport.write(buffer)
        try:
            async with asyncio.timeout(timeout):
                await self._may_write.wait()
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error
        if self._is_over:
            raise httpcore2.WriteError(str(self._error)) from self._error

    @override
    async def aclose(self) -> None:
        # Not `close`, which would send first what is left: who closes wants no answer any more.
        self._transport.abort()
        # The event loop closes the socket in its next round, which may be its last.
        await asyncio.sleep(0)

    @override
    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Connection":
        try:
            async with asyncio.timeout(timeout):
                transport = await self._loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        assert transport is not None
        self._transport = transport
        return self

    @override
    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Asked of a connection that rests: it is of no use if the server has said something, or
            # has left, even if the event loop has not come to see it.
            return self._is_over or bool(self._received) or _is_readable(self._transport)
        return self._transport.get_extra_info(NAMES.get(info, info))

    def _wake(self) -> None:
        if self._waiter is not None:
            wake(self._waiter)


def _is_readable(transport: asyncio.Transport) -> bool:
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))
