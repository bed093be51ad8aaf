"""The database: one small pool for the process, and one round trip per step.

A step is one statement, or several sent together. Each connection is in autocommit, so several are
one implicit transaction, ended by one Sync (PostgreSQL, "Extended Query", "Pipelining"). It costs
one round trip and is all that PgBouncer in transaction mode allows: no BEGIN, no SET, no LISTEN, no
named prepared statement.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, overload
from uuid import UUID

import psycopg

from lib.database._pool import ANSWER_TIMEOUT_SECONDS, Connection, Connections, is_lost, shut
from lib.database._problems import TRANSIENT, as_problem, hidden_problem, hide_row, is_absence
from lib.database._rows import rows_as
from lib.database.acting import TIMEOUT_MS, act_as, limit_time, opened, use_schema
from lib.database.statements import Call, Nothing, Statement
from lib.identity.callers import Caller
from lib.problems import Problem, RefusedByRule
from lib.runtime.counting import note_round_trip
from lib.runtime.log import log, text_of_database
from lib.runtime.shutdown import at_end
from lib.runtime.trace import trace
from lib.settings import Settings, settings

type Calls = tuple[Call[Any], ...]
# The rows of each call of a step.
type Rows = list[list[Any]]
# Makes the first call of a step from the milliseconds that each later statement of it may take.
type Opening = Callable[[int], Call[Any]]
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class HiddenSchema:
    """A row of find_hidden_schema."""

    name: str


FIND_HIDDEN_SCHEMA = Statement("database/find_hidden_schema", HiddenSchema)
PIN_ISOLATION = Statement("database/pin_isolation", Nothing)
CHECK_CONSTRAINTS = Statement("database/check_constraints", Nothing)
# The part of the wait for an answer that a statement may take in the database. The rest is for the
# network, so that the answer to a statement that took too long still arrives.
DATABASE_SHARE = 0.8


class CommitRefusedError(Exception):
    """A rule that waits for the end of the transaction refuses it; nothing of the step is left."""


class Database:
    """Sends steps over the connections of this process."""

    def __init__(self, configuration: Settings) -> None:
        """Take the settings; nothing is opened."""
        self._settings = configuration
        self._connections = Connections(configuration)
        self._path = use_schema(configuration.parley_schema)
        self._pins_isolation = False
        # The event loop itself holds tasks only weakly.
        self._steps: set[asyncio.Task[None]] = set()

    def connect_ahead(self) -> None:
        """Start to connect for the first step, without waiting; that step reports a failure."""
        self._connections.connect_ahead()

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
        """Send calls as one step, as `run` does, behind the wall of row-level security.

        The calls see and change the caller's rows alone, even if a statement forgets to ask for
        them. Costs no further round trip.

        Args:
            caller: the caller whose rows they are.
            reachable: the conversation without an owner that this caller may reach, because the
                request named its id; None: none.
            calls: the statements, in order.

        Raises:
            AccountInactive: the caller's account is switched off; nothing was done.
            Unauthenticated: the caller's token was issued before the user signed out everywhere or
                changed the password; nothing was done.
            AccountDeleted: the caller was deleted after the token was issued; nothing was done.
            AccountUnknown: the caller's local account does not exist, or an application's own
                `users` table needs more of a new user than a token says; nothing was done.
            Problem: see `run`.
        """
        rows = await self._step(partial(act_as, caller, reachable), calls, caller)
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
        """Send one or several calls as one step, outside the wall, and return the rows of each.

        For work that is done for no caller: the cron, the log-in.

        One round trip; another, and a connect, for each connection that turns out dead. Several
        calls are one transaction: all of them happen, or none. A step must do no harm when it is
        done twice, because it is sent again when its connection is lost.

        Returns:
            The rows of one call, or of several a tuple, in order.

        Raises:
            DatabaseUnavailable: not reachable within DB_POOL_TIMEOUT seconds or by the function's
                deadline, or lost ATTEMPTS times, or a lock was not free in time.
            DatabaseTooSlow: a statement took longer than it may; the step is not sent again.
            DatabaseNotMigrated: tables, columns or functions are missing.
            RefusedByRule: a foreign key, a trigger or a constraint that is not Parley's is in the
                way; the log names it (`refused_by_rule`), and nothing of the step is left.
            psycopg.Error: the statement itself failed, such as by a constraint.
        """
        rows = await self._step(limit_time, calls, None)
        return rows[0] if len(calls) == 1 else tuple(rows)

    def pool_metrics(self) -> dict[str, int]:
        """Return the pool's size: `max`, `size` (now), `idle`, and requests that are `waiting`."""
        return self._connections.metrics()

    async def close(self) -> None:
        """Close all connections. The next step opens new ones."""
        connections, self._connections = self._connections, Connections(self._settings)
        await connections.close()

    async def _step(self, opening: Opening, calls: Calls, caller: Caller | None) -> Rows:
        # A task of its own: when a caller gives up, the step still ends before its connection goes
        # back, so no other caller gets the rows that are on their way (OpenAI, March 2023). The
        # task starts at once and reports to a future, which takes three rounds of the event loop
        # less than a task within `asyncio.shield`.
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Rows] = loop.create_future()
        step = asyncio.Task(self._run(outcome, opening, calls), loop=loop, eager_start=True)
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        try:
            return await outcome
        except psycopg.Error as error:
            if (problem := as_problem(error, caller)) is None:
                raise
            if is_absence(error) and await self._is_hidden():
                raise hidden_problem() from error
            if isinstance(problem, RefusedByRule):
                # Here, because a 409 is not logged, and the operator alone can end this one.
                log(
                    "refused_by_rule",
                    step="+".join(call.statement.name for call in calls),
                    cause=text_of_database(error),
                )
            raise problem from error

    async def _is_hidden(self) -> bool:
        """Tell whether what seems to be missing is in a schema that a role may not look into.

        Postgres says of both that there is no such function or table. One round trip, which only a
        step pays that has failed.
        """
        try:
            return bool(await self.run(FIND_HIDDEN_SCHEMA()))
        except (psycopg.Error, Problem):
            return False

    async def _run(self, outcome: asyncio.Future[Rows], opening: Opening, calls: Calls) -> None:
        """Send a step, and report its outcome if the caller still waits for it."""
        started_at = time.monotonic()
        try:
            # A statement that declares more time than others is also waited for that long.
            seconds = max(self._settings.db_pool_timeout, _declared_seconds(calls))
            # In time to say so: a function that Vercel ends says nothing at all.
            give_up_at = min(started_at + seconds, trace().deadline.last_words_at)
            rows = await self._attempt(opening, calls, give_up_at)
        except asyncio.CancelledError:
            outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001 (the caller gets it)
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(rows)
        finally:
            trace().db_seconds += time.monotonic() - started_at

    def _learn_isolation(self) -> bool:
        """Note that the database's default isolation is not Parley's; False: known already."""
        is_new, self._pins_isolation = not self._pins_isolation, True
        if is_new:
            log("isolation_pinned")
        return is_new

    async def _attempt(self, opening: Opening, calls: Calls, give_up_at: float) -> Rows:
        """Send a step until it is answered; replace a lost connection, for ATTEMPTS in all.

        The connection itself tells whether it is lost, rather than a list of error codes: a server
        that shuts down says 57P01, PgBouncer 08P01, a cut network nothing at all. A statement that
        the database has ended, because it took too long, leaves the connection whole: the step is
        not sent again.

        A step that could not be serialized is: Parley's sessions read what is committed, and so no
        such error exists, unless the database's default is another. From then on each step of the
        process sets the isolation of its transaction first, in the same round trip.

        Nor is a step stored whose commit was refused; it is sent again with its constraints checked
        before the commit, where the error has its words.
        """
        connections = self._connections
        attempt, sent = 1, calls
        while True:
            # No longer, however much time a statement of the step declares.
            connected_by = time.monotonic() + self._settings.db_pool_timeout
            connection = await connections.take(min(give_up_at, connected_by))
            try:
                rows = await self._send(connection, opening, sent, give_up_at)
                return rows[: len(calls)]
            except CommitRefusedError:
                if sent is not calls:
                    raise
                sent = (*calls, CHECK_CONSTRAINTS())
            except psycopg.errors.SerializationFailure:
                # Several steps of the process may learn it at once, and each goes on.
                if attempt == ATTEMPTS or not (self._learn_isolation() or attempt == 1):
                    raise
            except TRANSIENT:
                if not is_lost(connection):
                    raise
                log("connection_lost", step=calls[-1].statement.name, attempt=attempt)
                if attempt == ATTEMPTS:
                    raise
            finally:
                await connections.give_back(connection)
            await asyncio.sleep(random.uniform(0.01, 0.1) * attempt)  # noqa: S311 (not a secret)
            attempt += 1

    async def _send(
        self, connection: Connection, opening: Opening, calls: Calls, give_up_at: float
    ) -> Rows:
        """Send a step over a connection, count and time it, and return the rows of its calls."""
        started_at, has_failed = time.monotonic(), True
        patience = min(
            max(ANSWER_TIMEOUT_SECONDS, _declared_seconds(calls)), give_up_at - started_at
        )
        sent = self._path + opened(opening(_timeout_ms(calls, patience)), calls)
        if self._pins_isolation:
            sent = (PIN_ISOLATION(), *sent)
        watchdog = asyncio.get_running_loop().call_later(patience, shut, connection)
        try:
            cursors = await _execute_all(connection, sent)
            # After the block: fetched within, the first would cost a round trip of its own.
            rows = [
                [] if call.statement.row is Nothing else await cursor.fetchall()
                for call, cursor in zip(calls, cursors[-len(calls) :], strict=True)
            ]
            has_failed = False
        except psycopg.Error as error:
            hide_row(error)
            raise
        else:
            return rows
        finally:
            watchdog.cancel()
            seconds = time.monotonic() - started_at
            names = [call.statement.name for call in sent]
            note_round_trip(names, seconds, has_failed=has_failed)
            self._log_step(calls, seconds)

    def _log_step(self, calls: Calls, seconds: float) -> None:
        """Log a slow step (with DEBUG, each step) under the names of its statements."""
        is_slow = seconds * 1000 > self._settings.slow_query_ms
        if is_slow or self._settings.debug:
            names = "+".join(call.statement.name for call in calls)
            log("slow_step" if is_slow else "step", step=names, duration_ms=round(seconds * 1000))


def _declared_seconds(calls: Calls) -> float:
    """Return how long a connection waits for statements that declare their time; 0: none does."""
    declared = max(call.statement.timeout_ms or 0 for call in calls)
    return declared / 1000 / DATABASE_SHARE


def _timeout_ms(calls: Calls, patience: float) -> int:
    """Return the milliseconds that each statement of a step may take in the database.

    Args:
        calls: the step.
        patience: how long the connection waits for its answer, in seconds; not longer than the
            function's deadline allows.
    """
    declared = max(call.statement.timeout_ms or TIMEOUT_MS for call in calls)
    # Not 0, which is no limit at all.
    return max(1, min(declared, int(patience * DATABASE_SHARE * 1000)))


async def _execute_all(connection: Connection, calls: Calls) -> list[psycopg.AsyncCursor[Any]]:
    """Send calls as one round trip, and return their cursors; raise the error of the first failure.

    The error of one call may arrive while the later ones are being sent. Raised within the block,
    it would end it, and psycopg would warn of the aborted rest, where nothing is wrong but a
    conversation that does not exist.
    """
    cursors: list[psycopg.AsyncCursor[Any]] = []
    failure: psycopg.Error | None = None
    try:
        async with connection.pipeline():
            try:
                cursors += [await _execute(connection, call) for call in calls]
            except psycopg.Error as error:
                failure = error
    except psycopg.Error as error:
        # A rule that waits for the end of the transaction fails at the Sync. psycopg then raises an
        # error about the pipeline, which hides that one, and the connection is of no more use.
        if failure is None and isinstance(error.__context__, psycopg.IntegrityError):
            raise CommitRefusedError from error
        failure = failure or error
    except IndexError as error:
        # Or, where the answer to the Sync comes early, it looks for one command too many.
        if failure is None:
            raise CommitRefusedError from error
    if failure is not None:
        raise failure
    return cursors


async def _execute(connection: Connection, call: Call[Any]) -> psycopg.AsyncCursor[Any]:
    cursor = connection.cursor(row_factory=rows_as(call.statement.row))
    return await cursor.execute(call.statement.sql, call.bound())


@cache
def database() -> Database:
    """Return the database of this process."""
    return Database(settings())


async def _close() -> None:
    """Close the database of this process, if it was used."""
    if database.cache_info().currsize:
        await database().close()


at_end("connections", _close)
