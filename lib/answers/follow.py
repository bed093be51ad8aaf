"""Following an answer of another process, by the parts that the other process stores.

The database is polled, because LISTEN does not work through PgBouncer in transaction mode. All
readers of one answer in a process share one poll.
"""

import asyncio
import time
from contextvars import Context
from dataclasses import dataclass
from typing import Literal, assert_never
from uuid import UUID, uuid4

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.identity.callers import Caller
from lib.problems import AnswerNotStored, DatabaseTooSlow, DatabaseUnavailable, ModelFailed, Problem
from lib.runtime.log import log
from lib.runtime.trace import begin_background
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.streams.compact import expand
from lib.streams.stream import END_PARTS, Stream
from lib.turns.recover import recover_turn

# A running answer that is followed stores its new parts in batches, one each quarter of a second.
SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 0.5
LENGTHENING = 1.5
# The poll goes on for so long after the last reader has left.
READERLESS_SECONDS = 2.0
# How often the process that makes the answer is told that it is followed. A mark counts for 5
# seconds (sql/functions/store_stream_batches.sql).
MARK_SECONDS = 2.0
LAST_PART = 2**31 - 1
StreamState = Literal["running", "lapsed", "ended", "stopped"]


@dataclass(frozen=True, slots=True)
class StoredParts:
    """A row of read_stream.

    Attributes:
        turn_id: token of the attempt that makes the answer.
        state: of the attempt; see read_stream.sql.
        first_part: number of the first of the parts; None: there are none.
        parts: the parts as one text, in their stored form (`lib/streams/compact.py`); None
            likewise.
    """

    turn_id: UUID
    state: StreamState
    first_part: int | None
    parts: str | None


@dataclass(frozen=True, slots=True)
class FollowedStream:
    """The row of mark_stream_followed.

    Attributes:
        turn_id: token of the attempt that makes the answer.
    """

    turn_id: UUID


READ_STREAM = Statement("answers/read_stream", StoredParts)
MARK_STREAM_FOLLOWED = Statement("answers/mark_stream_followed", FollowedStream)


async def read_stream(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    turn_id: UUID | None = None,
    first_part: int = 0,
) -> list[StoredParts]:
    """Read the stored parts of a conversation's answer. One round trip.

    Args:
        database: the database that stores them.
        caller: the reader; an answer of another caller has no parts.
        conversation_id: id of the conversation.
        turn_id: token of the attempt that makes the answer; None: the attempt that runs, or has
            ended within the last minute.
        first_part: number of the first part to read.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    call = _read_call(caller, conversation_id, turn_id, first_part)
    return await database.run_as(caller, caller.reachable(conversation_id), call)


def _read_call(
    caller: Caller, conversation_id: UUID, turn_id: UUID | None, first_part: int
) -> Call[StoredParts]:
    return READ_STREAM(
        conversation_id=conversation_id,
        user_id=caller.user_id,
        turn_id=turn_id,
        first_part=first_part,
        retention_days=settings().retention_days,
        now=None,
    )


class Follower:
    """Follows one answer for the readers of this process.

    Attributes:
        stream: the answer's parts, as far as they are known here.
        was_stopped: the answer was stopped before its first part.
        has_begun: the answer has had a part. An answer that ends without one has only the error
            in its stream, for readers that have waited for it.
    """

    def __init__(
        self, database: Database, caller: Caller, conversation_id: UUID, turn_id: UUID
    ) -> None:
        """Take an answer of the caller's."""
        self.stream = Stream()
        self.was_stopped = False
        self.has_begun = False
        self._readerless_seconds = 0.0
        self._mark_at = 0.0
        self._database = database
        self._caller = caller
        self._conversation_id = conversation_id
        self._turn_id = turn_id

    def add(self, rows: list[StoredParts]) -> bool:
        """Add the new parts in rows of read_stream; return whether there were any.

        A crash of the database may lose the last batches. Parts behind a gap wait until the process
        that makes the answer has stored the missing ones again.
        """
        count_before = len(self.stream.parts)
        for row in rows:
            if row.parts is None or row.first_part is None:
                continue
            known = len(self.stream.parts) - row.first_part
            if known < 0:
                break
            parts = expand(row.parts.encode())
            if row.state == "ended":
                # An answer that was recovered after such a crash may be shorter than its readers
                # know it, and still needs its end.
                new = parts[min(known, max(0, len(parts) - END_PARTS)) :]
                self.has_begun = self.has_begun or bool(new)
                self.stream.end(*new)
            elif new := parts[known:]:
                self.has_begun = True
                self.stream.add(*new)
        return len(self.stream.parts) > count_before

    def expect_reader(self) -> None:
        """Go on for READERLESS_SECONDS, even if no reader is there yet."""
        self._readerless_seconds = 0.0

    async def follow(self) -> None:
        """Poll for parts until the answer is over, or has had no reader for READERLESS_SECONDS."""
        pause = SHORTEST_PAUSE_SECONDS
        while not self.stream.is_over and self._readerless_seconds < READERLESS_SECONDS:
            try:
                has_grown = await self._poll()
            except (DatabaseUnavailable, DatabaseTooSlow):
                has_grown = False
            longer = min(pause * LENGTHENING, LONGEST_PAUSE_SECONDS)
            pause = SHORTEST_PAUSE_SECONDS if has_grown else longer
            await asyncio.sleep(pause)
            self._readerless_seconds += pause
            if self.stream.reader_count:
                self.expect_reader()

    def fail(self, problem: Problem) -> None:
        """End the stream with an error."""
        self.stream.end(ui_stream.error(problem.detail), ui_stream.DONE)

    async def _poll(self) -> bool:
        # The poll may outlast the request that began it, and its round trips are no request's.
        begin_background()
        rows = await self._read()
        if rows and rows[0].state == "lapsed":
            await recover_turn(self._database, self._caller, self._conversation_id, self._turn_id)
            rows = await self._read()
        state = rows[0].state if rows else None
        match state:
            case "running" | "lapsed" | "ended":
                return self.add(rows)
            case "stopped":
                self.was_stopped = True
                opening = ui_stream.start(str(uuid4()), self._conversation_id)
                self.stream.end(opening, ui_stream.ABORT, ui_stream.DONE)
            case None:
                # The turn was released or taken over, or deleted with its conversation.
                self.fail(AnswerNotStored() if self.has_begun else ModelFailed())
            case _:
                assert_never(state)
        return False

    async def _read(self) -> list[StoredParts]:
        read = _read_call(
            self._caller, self._conversation_id, self._turn_id, len(self.stream.parts)
        )
        reachable = self._caller.reachable(self._conversation_id)
        if time.monotonic() < self._mark_at or not self.stream.parts:
            return await self._database.run_as(self._caller, reachable, read)
        mark = MARK_STREAM_FOLLOWED(
            conversation_id=self._conversation_id,
            user_id=self._caller.user_id,
            turn_id=self._turn_id,
            now=None,
        )
        rows, marked = await self._database.run_as(self._caller, reachable, read, mark)
        if marked:
            self._mark_at = time.monotonic() + MARK_SECONDS
        return rows


_followers: dict[tuple[UUID, str | None], tuple[Follower, asyncio.Task[None]]] = {}


def follow(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    turn_id: UUID,
    rows: list[StoredParts],
) -> Follower:
    """Follow an answer of another process, from its first part.

    Args:
        database: the database that stores its parts.
        caller: the reader, whom the database has shown to be the conversation's owner.
        conversation_id: id of the conversation.
        turn_id: token of the attempt that makes the answer.
        rows: the parts that the caller has just read with `read_stream`.
    """
    key = (turn_id, caller.user_id)
    if key not in _followers:
        follower = Follower(database, caller, conversation_id, turn_id)
        task = asyncio.create_task(_follow(key, follower), context=Context())
        _followers[key] = follower, task
    follower, _ = _followers[key]
    follower.expect_reader()
    follower.add(rows)
    return follower


async def _follow(key: tuple[UUID, str | None], follower: Follower) -> None:
    try:
        await follower.follow()
    except Problem as problem:
        follower.fail(problem)
    except Exception as error:  # noqa: BLE001 (a task of its own: its readers learn of it only here)
        log("unexpected_error", error=error)
        follower.fail(Problem())
    finally:
        del _followers[key]
