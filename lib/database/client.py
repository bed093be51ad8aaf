"""The database: one small pool for the process, and one round trip a step.

A step is one statement, or several sent together. Each connection is in autocommit, so several are
one implicit transaction, ended by one Sync (PostgreSQL, "Extended Query", "Pipelining"). It costs
one round trip and is all that PgBouncer in transaction mode allows: no BEGIN, no SET, no LISTEN, no
named prepared statement.
"""

import asyncio
import contextlib
import random
import time
from functools import cache
from typing import Any, overload
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from lib.database._pool import (
    ANSWER_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    IDLE_SECONDS,
    POOL_PATIENCE_SECONDS,
    BurstPool,
    Connection,
    is_lost,
    shut,
)
from lib.database._rows import rows_as
from lib.database.acting import ACT_AS_CALLER
from lib.database.statements import Call
from lib.identity.callers import Caller
from lib.problems import (
    AccountInactive,
    AccountUnknown,
    DatabaseNotMigrated,
    DatabaseUnavailable,
    LocalAccountsUnavailable,
    Problem,
)
from lib.runtime.counting import note_round_trip, note_wait
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import Settings, settings

# The rows of each call of a step.
type Outcome = asyncio.Future[list[list[Any]]]
ATTEMPTS = 3
# It is not the statement's fault, and may be over in a moment.
CANNOT_NOW = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)
# Tables, columns or functions that a statement names are not there.
NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)
# Errors that functions of the database raise on purpose (sql/functions/).
RAISED: dict[str | None, type[Problem]] = {
    "PA001": AccountInactive,
    "PA002": AccountUnknown,
    "PA003": LocalAccountsUnavailable,
}
NO_ROLE = (
    "The role of DATABASE_URL may not act as parley_app. The operator grants it that: "
    "GRANT parley_app TO the role, which must also own Parley's tables or be a member of who does."
)


class Database:
    """A pool that opens with the first step and holds no connection longer than it is of use."""

    def __init__(self, chosen: Settings) -> None:
        """Take the settings; nothing is opened."""
        self._settings = chosen
        self._pool: AsyncConnectionPool[Connection] | None = None
        # The event loop itself holds tasks only weakly.
        self._steps: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None

    def connect_ahead(self) -> None:
        """Begin to connect for the first step of all, which is to come; waits for nothing.

        If it fails, that step will tell.
        """
        if self._pool is None and self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())

    @overload
    async def run_as[A](self, caller: Caller, reachable: UUID | None, a: Call[A], /) -> list[A]: ...
    @overload
    async def run_as[A, B](
        self, caller: Caller, reachable: UUID | None, a: Call[A], b: Call[B], /
    ) -> tuple[list[A], list[B]]: ...
    @overload
    async def run_as[A, B, C](
        self, caller: Caller, reachable: UUID | None, a: Call[A], b: Call[B], c: Call[C], /
    ) -> tuple[list[A], list[B], list[C]]: ...
    @overload
    async def run_as[A, B, C, D](
        self,
        caller: Caller,
        reachable: UUID | None,
        a: Call[A],
        b: Call[B],
        c: Call[C],
        d: Call[D],
        /,
    ) -> tuple[list[A], list[B], list[C], list[D]]: ...
    @overload
    async def run_as[A, B, C, D, E](
        self,
        caller: Caller,
        reachable: UUID | None,
        a: Call[A],
        b: Call[B],
        c: Call[C],
        d: Call[D],
        e: Call[E],
        /,
    ) -> tuple[list[A], list[B], list[C], list[D], list[E]]: ...
    @overload
    async def run_as(self, caller: Caller, reachable: UUID | None, /, *calls: Call[Any]) -> Any: ...  # noqa: ANN401 (as many as calls)
    async def run_as(self, caller: Caller, reachable: UUID | None, /, *calls: Call[Any]) -> Any:
        """Send calls as one step, as `run` does, within the wall: row-level security.

        Whatever the calls forget to ask for, they see and change what is the caller's alone. No
        round trip more than without.

        Args:
            caller: who.
            reachable: the conversation without an owner that this caller may reach, since it named
                its id; None: none.
            calls: what.

        Raises:
            AccountInactive: the caller's account is switched off; nothing was done.
            AccountUnknown: the caller's local account was deleted, or an application's own `users`
                needs more of a new user than a token says; nothing was done.
            Problem: see `run`.
        """
        act = ACT_AS_CALLER(
            user_id=caller.user_id,
            conversation_id=reachable,
            needs_account=caller.has_local_account,
        )
        try:
            _, *rows = await self._step((act, *calls))
        except psycopg.errors.ForeignKeyViolation as error:
            if not (error.diag.constraint_name or "").endswith("_user_id_fkey"):
                raise
            # The user was deleted at this moment. One of an identity provider may come back.
            if caller.has_local_account:
                raise AccountUnknown from error
            raise DatabaseUnavailable(retry_after_seconds=1) from error
        return rows[0] if len(calls) == 1 else tuple(rows)

    @overload
    async def run[A](self, a: Call[A], /) -> list[A]: ...
    @overload
    async def run[A, B](self, a: Call[A], b: Call[B], /) -> tuple[list[A], list[B]]: ...
    @overload
    async def run[A, B, C](
        self, a: Call[A], b: Call[B], c: Call[C], /
    ) -> tuple[list[A], list[B], list[C]]: ...
    @overload
    async def run[A, B, C, D](
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], /
    ) -> tuple[list[A], list[B], list[C], list[D]]: ...
    @overload
    async def run(self, /, *calls: Call[Any]) -> Any: ...  # noqa: ANN401 (as many as calls)
    async def run(self, *calls: Call[Any]) -> Any:
        """Send one or several calls as one step, outside of the wall, and return the rows of each.

        For what is done for no caller: the cron, the log in.

        One round trip; another, and a connect, for each connection found dead. Several calls are
        one transaction: all of them, or none. Since the step may be sent again when its connection
        is lost, it must be one that does no harm when it is done twice.

        Returns:
            The rows of one call, or of several a tuple, in order.

        Raises:
            DatabaseUnavailable: not reachable within DB_POOL_TIMEOUT seconds or by the function's
                deadline, or lost three times.
            DatabaseNotMigrated: tables, columns or functions are missing.
        """
        rows = await self._step(calls)
        return rows[0] if len(calls) == 1 else tuple(rows)

    async def close(self) -> None:
        """Close all connections. The next step opens the pool again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def figures(self) -> dict[str, int]:
        """Return the pool's size now: connections in all and idle, requests waiting for one."""
        if self._pool is None:
            return {"max": self._settings.db_pool_max, "size": 0, "idle": 0, "waiting": 0}
        found = self._pool.get_stats()
        return {
            "max": self._settings.db_pool_max,
            "size": found["pool_size"],
            "idle": found["pool_available"],
            "waiting": found["requests_waiting"],
        }

    async def _step(self, calls: tuple[Call[Any], ...]) -> list[list[Any]]:
        # Of its own, so that a caller who gives up never leaves a connection with somebody else's
        # answer on its way (OpenAI, March 2023): the step ends, then the connection goes back.
        # Begun at once, and waited for by a future of ours: three rounds of the event loop less
        # than a task within `asyncio.shield`.
        loop = asyncio.get_running_loop()
        outcome: Outcome = loop.create_future()
        step = asyncio.Task(self._end_in(outcome, calls), loop=loop, eager_start=True)
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        return await outcome

    async def _end_in(self, outcome: Outcome, calls: tuple[Call[Any], ...]) -> None:
        """Run a step, and tell how it ended, if anybody still waits for it."""
        try:
            rows = await self._run(calls)
        except asyncio.CancelledError:
            outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is for who waits)
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(rows)

    async def _run(self, calls: tuple[Call[Any], ...]) -> list[list[Any]]:
        started = time.monotonic()
        try:
            # Told in time: a function that Vercel ends says nothing at all.
            give_up_at = min(
                started + self._settings.db_pool_timeout, trace().deadline.last_words_at
            )
            return await self._try(calls, give_up_at)
        except NOT_MIGRATED as error:
            raise DatabaseNotMigrated(retry_after_seconds=60) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseNotMigrated(NO_ROLE, retry_after_seconds=60) from error
        except psycopg.errors.NotNullViolation as error:
            # An application's own `users`, whose rows need more than a token says.
            if error.diag.table_name == "users":
                raise AccountUnknown from error
            raise
        except psycopg.DatabaseError as error:
            if raised := RAISED.get(error.sqlstate):
                raise raised from error
            raise
        finally:
            trace().db_seconds += time.monotonic() - started

    async def _try(self, calls: tuple[Call[Any], ...], give_up_at: float) -> list[list[Any]]:
        """Send a step until it was answered; a lost connection is replaced, at most ATTEMPTS times.

        Whether a connection is lost is asked of the connection, not read off a list of error codes:
        a server that shuts down says 57P01, PgBouncer 08P01, a cut network nothing at all.
        """
        pool = await self._opened_pool()
        cause: Exception | None = None
        for attempt in range(1, ATTEMPTS + 1):
            connection = await self._connection(pool, give_up_at)
            try:
                return await self._send(connection, calls, give_up_at)
            except CANNOT_NOW as error:
                if not is_lost(connection):
                    # Such as too long a wait for a lock, a full disk, a server that only reads.
                    raise DatabaseUnavailable(retry_after_seconds=5) from error
                log("connection_lost", step=calls[-1].statement.name, attempt=attempt)
                cause = error
            finally:
                await self._give_back(pool, connection)
            await asyncio.sleep(random.uniform(0.01, 0.1) * attempt)  # noqa: S311 (not a secret)
        raise DatabaseUnavailable(retry_after_seconds=5) from cause

    async def _send(
        self, connection: Connection, calls: tuple[Call[Any], ...], give_up_at: float
    ) -> list[list[Any]]:
        started, has_failed = time.monotonic(), True
        try:
            rows = await _send(connection, calls, give_up_at)
            has_failed = False
        finally:
            seconds = time.monotonic() - started
            names = [call.statement.name for call in calls]
            note_round_trip(names, seconds, has_failed=has_failed)
            self._tell(calls, seconds)
        return rows

    def _tell(self, calls: tuple[Call[Any], ...], seconds: float) -> None:
        """Log a step that was slow, by the names of its statements."""
        is_slow = seconds * 1000 > self._settings.slow_query_ms
        if is_slow or self._settings.debug:
            names = "+".join(
                call.statement.name for call in calls if call.statement != ACT_AS_CALLER
            )
            log("slow_step" if is_slow else "step", step=names, duration_ms=round(seconds * 1000))

    async def _opened_pool(self) -> AsyncConnectionPool[Connection]:
        if self._pool is None:
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
                # Given up soon, since each request that waits starts over: otherwise the pool's
                # ever longer pauses would outlast the outage.
                reconnect_timeout=POOL_PATIENCE_SECONDS,
                num_workers=self._settings.db_pool_max,
                open=False,
            )
            await self._pool.open()
        return self._pool

    async def _connect(self) -> None:
        pool = await self._opened_pool()
        with contextlib.suppress(psycopg.Error):
            await pool.putconn(await pool.getconn(timeout=POOL_PATIENCE_SECONDS))

    async def _connection(
        self, pool: AsyncConnectionPool[Connection], give_up_at: float
    ) -> Connection:
        """Take a connection out of the pool.

        Raises:
            DatabaseUnavailable: none could be had in time.
        """
        started = time.monotonic()
        try:
            connecting, self._connecting = self._connecting, None
            if connecting is not None:
                # The pool would make another one for who asks now.
                await asyncio.wait({connecting}, timeout=max(0.0, give_up_at - started))
            while (remaining := give_up_at - time.monotonic()) > 0:
                with contextlib.suppress(PoolTimeout):
                    return await pool.getconn(timeout=min(remaining, POOL_PATIENCE_SECONDS))
            raise DatabaseUnavailable(retry_after_seconds=5)
        finally:
            self._tell_wait(time.monotonic() - started)

    def _tell_wait(self, seconds: float) -> None:
        note_wait(seconds)
        if seconds * 1000 > self._settings.slow_query_ms:
            log("slow_connection", duration_ms=round(seconds * 1000), pool=self.figures())

    async def _give_back(
        self, pool: AsyncConnectionPool[Connection], connection: Connection
    ) -> None:
        was_lost = is_lost(connection)
        await pool.putconn(connection)
        if was_lost:
            # Its neighbours are as dead: they are closed now, rather than found out one by one.
            await pool.drain()


async def _send(
    connection: Connection, calls: tuple[Call[Any], ...], give_up_at: float
) -> list[list[Any]]:
    patience = min(ANSWER_TIMEOUT_SECONDS, give_up_at - time.monotonic())
    watchdog = asyncio.get_running_loop().call_later(patience, shut, connection)
    try:
        if len(calls) == 1:
            cursors = [await _execute(connection, calls[0])]
        else:
            async with connection.pipeline():
                cursors = [await _execute(connection, call) for call in calls]
        # After the block: fetched within, the first would cost a round trip of its own.
        return [await cursor.fetchall() if _has_rows(cursor) else [] for cursor in cursors]
    except psycopg.Error as error:
        # The other lines may show the row that was refused: of `users`, the hash of a password.
        if error.diag.message_primary is not None:
            error.args = (error.diag.message_primary,)
        raise
    finally:
        watchdog.cancel()


async def _execute(connection: Connection, call: Call[Any]) -> psycopg.AsyncCursor[Any]:
    cursor = connection.cursor(row_factory=rows_as(call.statement.row))
    return await cursor.execute(call.statement.sql, call.bound())


def _has_rows(cursor: psycopg.AsyncCursor[Any]) -> bool:
    # `description`, which tells it too, is made anew each time, with an object for each column.
    return cursor.pgresult is not None and cursor.pgresult.nfields > 0


@cache
def database() -> Database:
    """Return the database of this process."""
    return Database(settings())
