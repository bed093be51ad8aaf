"""A network between a function and its database: a proxy that delays, in a process of its own.

    python -m bench.delays HOST PORT

writes the port that it listens on, then reads the one-way delay in milliseconds, a line each, and
answers each line with itself. What is sent in either direction arrives that much later, in order,
however much is on its way; nothing is slowed otherwise. The first proxy of the tests (tests.proxy)
counts, and waits while it delays: here it would be the bottleneck.
"""

import asyncio
import select
import selectors
import socket
import sys
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import override
from urllib.parse import urlsplit, urlunsplit

from tests.support.product import ROOT


class PreciseSelector(selectors.EpollSelector):
    """A selector whose timers are not rounded up to whole milliseconds, as those of epoll are."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


@dataclass(slots=True)
class Delay:
    """How long everything is on its way, in seconds; changes while it runs."""

    seconds: float = 0.0


class End(asyncio.Protocol):
    """One end of a connection: what arrives here leaves at the other end, later."""

    def __init__(self, delay: Delay) -> None:
        """Take the delay; the other end is told later."""
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._on_its_way: deque[tuple[float, bytes]] = deque()
        self._is_closing = False
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        if not self._delay.seconds and not self._on_its_way:
            self._deliver(data)
            return
        self._on_its_way.append((self._loop.time() + self._delay.seconds, data))
        if len(self._on_its_way) == 1:
            self._loop.call_at(self._on_its_way[0][0], self._arrive)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        if not self._on_its_way:
            self._close_other()

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._on_its_way and self._on_its_way[0][0] <= now:
            self._deliver(self._on_its_way.popleft()[1])
        if self._on_its_way:
            self._loop.call_at(self._on_its_way[0][0], self._arrive)
        elif self._is_closing:
            self._close_other()

    def _deliver(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def _close_other(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()


class ClientEnd(End):
    """The client's end: nothing is read from it until the server's end is there."""

    def __init__(self, delay: Delay, host: str, port: int) -> None:
        """Take where the server is."""
        super().__init__(delay)
        self._host, self._port = host, port
        self._connecting: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport
        self.transport.pause_reading()
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        assert self.transport
        server = End(self._delay)
        server.other = self
        await self._loop.create_connection(lambda: server, self._host, self._port)
        self.other = server
        self.transport.resume_reading()


async def serve(host: str, port: int) -> None:
    """Carry connections to a server until the input ends."""
    loop, delay = asyncio.get_running_loop(), Delay()
    server = await loop.create_server(lambda: ClientEnd(delay, host, port), "127.0.0.1", 0)
    answer = str(server.sockets[0].getsockname()[1])
    while answer:
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
        answer = (await asyncio.to_thread(sys.stdin.readline)).strip()
        delay.seconds = float(answer or 0) / 1000


@dataclass(frozen=True, slots=True)
class Network:
    """A running proxy."""

    process: asyncio.subprocess.Process
    port: int

    async def delay(self, milliseconds: float) -> None:
        """Set the one-way delay."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{milliseconds}\n".encode())
        await self.process.stdout.readline()

    def through(self, url: str) -> str:
        """Return the URL of the same database by way of the proxy."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{self.port}"))


@asynccontextmanager
async def network(host: str, port: int) -> AsyncGenerator[Network]:
    """Put a proxy before a server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.delays", host, str(port)),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield Network(process, int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


def main() -> None:
    """Run the proxy."""
    _, host, port = sys.argv
    selector = PreciseSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(serve(host, int(port)))


if __name__ == "__main__":
    main()
