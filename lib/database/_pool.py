"""The connections of a process: a small pool that opens with the first step and grows at once."""

import asyncio
import contextlib
import os
import socket
import time
from typing import Any, override

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from psycopg_pool.pool_async import AddConnection

from lib.runtime.counting import note_wait
from lib.runtime.log import log
from lib.settings import Settings

type Connection = psycopg.AsyncConnection[Any]
# Neon's first connect after it has slept takes most of a second.
CONNECT_TIMEOUT_SECONDS = 5
IDLE_SECONDS = 60.0
# A statement of Parley takes milliseconds. A server that is silent for so long is gone, or as good
# as gone: the socket is shut, which ends the call.
ANSWER_TIMEOUT_SECONDS = 10.0
# One wait for a connection, before the pool is asked again to make one.
POOL_PATIENCE_SECONDS = 2.0


class Connections:
    """The connections that the steps of a process share. Once closed, they stay closed."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is opened."""
        self._settings = settings
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_closed = False

    def connect_ahead(self) -> None:
        """Start to connect for the first step, without waiting; that step reports a failure."""
        if self._pool is None and self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())

    async def take(self, give_up_at: float) -> Connection:
        """Take a connection out of the pool; `give_back` must follow.

        Args:
            give_up_at: on the clock of `time.monotonic()`, in seconds.

        Raises:
            PoolTimeout: none was free or could be made in time.
            PoolClosed: the process has closed its connections.
        """
        pool = await self._opened()
        started_at = time.monotonic()
        try:
            connecting, self._connecting = self._connecting, None
            if connecting is not None:
                # Asked now, the pool would make a second connection.
                await asyncio.wait({connecting}, timeout=max(0.0, give_up_at - started_at))
            while (remaining := give_up_at - time.monotonic()) > 0:
                with contextlib.suppress(PoolTimeout):
                    return await pool.getconn(timeout=min(remaining, POOL_PATIENCE_SECONDS))
            raise PoolTimeout
        finally:
            self._note_wait(time.monotonic() - started_at)

    async def give_back(self, connection: Connection) -> None:
        """Give a connection back; if it is lost, close the idle ones too.

        They are as dead: closed now, they do not cost one failed step each.
        """
        assert self._pool is not None
        was_lost = is_lost(connection)
        await self._pool.putconn(connection)
        if was_lost:
            await self._pool.drain()

    def metrics(self) -> dict[str, int]:
        """Return the pool's size: `max`, `size` (now), `idle`, and requests that are `waiting`."""
        if self._pool is None:
            return {"max": self._settings.db_pool_max, "size": 0, "idle": 0, "waiting": 0}
        stats = self._pool.get_stats()
        return {
            "max": self._settings.db_pool_max,
            "size": stats["pool_size"],
            "idle": stats["pool_available"],
            "waiting": stats["requests_waiting"],
        }

    async def close(self) -> None:
        """Close all connections; a step that still runs closes its own when it ends."""
        self._is_closed = True
        if self._pool is not None:
            await self._pool.close()

    async def _opened(self) -> AsyncConnectionPool[Connection]:
        if self._pool is None:
            if self._is_closed:
                raise PoolClosed
            self._pool = BurstPool(
                self._settings.database_url,
                kwargs={
                    "autocommit": True,
                    "prepare_threshold": None,
                    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                    "tcp_user_timeout": int(ANSWER_TIMEOUT_SECONDS * 1000),
                    "application_name": "parley",
                },
                min_size=0,
                max_size=self._settings.db_pool_max,
                max_idle=IDLE_SECONDS,
                max_lifetime=self._settings.db_pool_max_lifetime,
                # Soon, because a request that waits asks for another attempt: the growing pauses
                # between the pool's own attempts would outlast the outage.
                reconnect_timeout=POOL_PATIENCE_SECONDS,
                num_workers=self._settings.db_pool_max,
                open=False,
            )
            await self._pool.open()
        return self._pool

    async def _connect(self) -> None:
        with contextlib.suppress(psycopg.Error):
            pool = await self._opened()
            await pool.putconn(await pool.getconn(timeout=POOL_PATIENCE_SECONDS))

    def _note_wait(self, seconds: float) -> None:
        note_wait(seconds)
        if seconds * 1000 > self._settings.slow_query_ms:
            log("slow_connection", duration_ms=round(seconds * 1000), pool=self.metrics())


class BurstPool(AsyncConnectionPool[Connection]):
    """A pool that makes a connection for each waiting request, up to its maximum, all at once.

    psycopg_pool makes one connection at a time, so the last of ten first requests would wait for
    ten connects in a row. `resize` is public and makes several, but does not look at the maximum:
    with it, one of 400 streams made an eleventh connection. tests/lib/database/test_pool.py fails
    if psycopg_pool no longer calls this override.
    """

    _nconns: int
    _max_size: int

    @override
    def _maybe_grow_pool(self) -> None:
        # psycopg_pool calls it, under the pool's lock, for each request that finds no connection.
        if self._nconns < self._max_size:
            self._nconns += 1
            self.run_task(AddConnection(self))


def is_lost(connection: Connection) -> bool:
    """Tell whether a connection is of no use after its step has ended.

    A connection that is still busy was told of its end (57P01) before it was closed: PgBouncer
    passes on the words of a server that shuts down. A step that merely failed leaves it idle.
    """
    return connection.broken or connection.info.transaction_status is TransactionStatus.ACTIVE


def shut(connection: Connection) -> None:
    """Shut the socket of a call to a silent server, which ends the call.

    To cancel the call instead, psycopg would ask that very server, over the same network, and wait
    for it: measured, 11 s after a time-out of 1 s.
    """
    with contextlib.suppress(OSError, psycopg.Error):
        own = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with own:
            own.shutdown(socket.SHUT_RDWR)
