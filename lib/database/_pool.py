"""The connections of a process: a small pool that opens with the first step and grows at once."""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator
from typing import Any, override

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff
from psycopg_pool.pool_async import AddConnection, WaitingClient

from lib.database.connecting import ConnectFailedError
from lib.postgres_url import read_postgres_url
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
# After a failed connect the process waits, for all its requests together: a fifth of a second, then
# twice as long each time, up to two seconds; ten where only an operator can end the failure.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = POOL_PATIENCE_SECONDS
LASTING_PAUSE_SECONDS = 10.0
# How rows and parameters are written (PostgreSQL, "Client Connection Defaults"), whatever the
# defaults of the database or the role are. libpq sends them with the startup message, which costs
# no round trip, and PgBouncer keeps them for each client. `options` would say more, but Neon's
# pooled host and PgBouncer refuse it. As variables, because libpq has no parameters for them.
SESSION_VARIABLES = {"PGDATESTYLE": "ISO, MDY", "PGTZ": "UTC"}


class Connections:
    """The connections that the steps of a process share. Once closed, they stay closed."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is opened."""
        self._settings = settings
        self._pool: BurstPool | None = None
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
            PoolTimeout: none was free or could be made in time. Its cause is the failure of the
                last connect; without one, all connections were in use.
            ConnectFailedError: none could be made, and only an operator can change that.
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
                pool.check_hope()
                with contextlib.suppress(PoolTimeout):
                    return await pool.getconn(timeout=min(remaining, pool.patience()))
            raise PoolTimeout from pool.failure
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

    async def _opened(self) -> "BurstPool":
        if self._pool is None:
            if self._is_closed:
                raise PoolClosed
            url = read_postgres_url(self._settings.database_url)
            if url.ignored:
                log("url_parameters_ignored", names=url.ignored)
            os.environ.update(SESSION_VARIABLES)
            self._pool = BurstPool(
                url.text,
                kwargs=url.overrides()
                | {
                    "autocommit": True,
                    "prepare_threshold": None,
                    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                    "tcp_user_timeout": int(ANSWER_TIMEOUT_SECONDS * 1000),
                    "application_name": "parley",
                    # Before any default of the database's.
                    "client_encoding": "UTF8",
                },
                min_size=0,
                max_size=self._settings.db_pool_max,
                max_idle=IDLE_SECONDS,
                max_lifetime=self._settings.db_pool_max_lifetime,
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
    if psycopg_pool no longer calls these overrides.

    After a failed connect the requests of the process share one attempt at a time, with growing
    pauses. psycopg_pool repeats each attempt by itself, for each connection and each request: 61 in
    the 31 seconds of one request.

    Attributes:
        failure: of the last connect; None: it succeeded, or there was none.
    """

    _nconns: int
    _max_size: int
    failure: ConnectFailedError | None = None
    _failures: int = 0
    _failed_at: float = 0.0
    _connects: int = 0
    _next_attempt_at: float = 0.0

    def check_hope(self) -> None:
        """Raise the failure of the last connect if the next one would fail as well.

        Raises:
            ConnectFailedError: only an operator can change it, and the pause is not over.
        """
        failure = self.failure
        has_connections = self._nconns > self._connects
        if failure is None or not failure.is_lasting or has_connections:
            return
        if self._connects or time.monotonic() < self._next_attempt_at:
            raise failure.with_traceback(None)

    def patience(self) -> float:
        """Return the seconds that a request waits before it asks for another attempt."""
        pause = self._next_attempt_at - time.monotonic()
        if self.failure is None or self._connects or pause <= 0:
            return POOL_PATIENCE_SECONDS
        # Past its end: asked too early, the pool would let the request wait in vain.
        return pause + 0.01

    @override
    def _maybe_grow_pool(self) -> None:
        # psycopg_pool calls it, under the pool's lock, for each request that finds no connection.
        is_paused = self.failure is not None and (
            self._connects > 0 or time.monotonic() < self._next_attempt_at
        )
        if self._nconns < self._max_size and not is_paused:
            self._nconns += 1
            self._connects += 1
            self.run_task(AddConnection(self, growing=True))

    @override
    async def _add_connection(
        self, attempt: AttemptWithBackoff | None, growing: bool = False
    ) -> None:
        # psycopg_pool also asks for one in place of each that was closed (`growing` is false). The
        # next request does that, if there is one.
        if not growing:
            async with self._lock:
                self._nconns -= 1
                if any(self._waiting_now()):
                    self._maybe_grow_pool()
            return
        started_at = time.monotonic()
        try:
            connection = await self._connect()
        except Exception as error:  # noqa: BLE001 (a worker must not end by it, and requests wait)
            await self._note_failure(ConnectFailedError(error), started_at)
            return
        async with self._lock:
            self._connects -= 1
            if self.failure is not None:
                self.failure, self._failures = None, 0
                # The first that waits gets this connection; the others were held back meanwhile.
                for _ in [*self._waiting_now()][1:]:
                    self._maybe_grow_pool()
        await self._add_to_pool(connection)

    def _waiting_now(self) -> Iterator[WaitingClient[Connection]]:
        """Iterate over the requests that wait; psycopg_pool also keeps those that have given up."""
        return (each for each in self._waiting if not (each.conn or each.error))

    async def _note_failure(self, failure: ConnectFailedError, started_at: float) -> None:
        async with self._lock:
            self._nconns -= 1
            self._connects -= 1
            # Attempts that ran side by side are one failure.
            if started_at >= self._failed_at:
                self._failures += 1
            self._failed_at = time.monotonic()
            longest = LASTING_PAUSE_SECONDS if failure.is_lasting else LONGEST_PAUSE_SECONDS
            pause = min(FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10), longest)
            # Not all processes at the same moments.
            pause *= random.uniform(0.8, 1.0)  # noqa: S311 (not a secret)
            self._next_attempt_at = self._failed_at + pause
            self.failure = failure
            waiting = [*self._waiting_now()]
            self._waiting.clear()
        log(
            "database_warning",
            warning="cannot connect",
            cause=failure.reason,
            refusal=failure.words,
            failures=self._failures,
            pause_ms=round(pause * 1000),
        )
        for each in waiting:
            # Woken, a request waits for the pause, and then asks for the next attempt.
            await each.fail(failure if failure.is_lasting else PoolTimeout())


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
