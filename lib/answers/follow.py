"""Answers that another process makes, followed by the parts that it keeps in the database.

Asked for again and again rather than listened for: LISTEN does not work through PgBouncer in
transaction mode. All readers of one answer in a process share the asking.
"""

import asyncio
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID, uuid4

from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller
from lib.problems import AnswerNotStored, DatabaseUnavailable, ModelFailed, Problem
from lib.runtime.log import log
from lib.runtime.trace import begin_background
from lib.streams import parts as ui_stream
from lib.streams.stream import Stream
from lib.turns.recover import recover_turn

# Parts come in batches, each quarter of a second while the model says something.
SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 0.5
LENGTHENING = 1.5
# So long it is asked for after the last reader has left.
READERLESS_SECONDS = 2.0
LAST_PART = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredParts:
    """A row of read_stream."""

    turn_id: UUID
    state: str
    first_part: int | None
    parts: str | None


READ_STREAM = Statement("answers/read_stream", StoredParts)


async def read_stream(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    turn_id: UUID | None = None,
    first_part: int = 0,
) -> list[StoredParts]:
    """Read the parts of a conversation's answer that are stored by now. One round trip.

    Args:
        database: where.
        caller: who asks.
        conversation_id: which conversation.
        turn_id: the attempt that makes it; None: whichever does, or did a moment ago.
        first_part: from which on.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    return await database.run_as(
        caller,
        caller.reachable(conversation_id),
        READ_STREAM(
            conversation_id=conversation_id,
            user_id=caller.user_id,
            turn_id=turn_id,
            first_part=first_part,
            now=None,
        ),
    )


class Follower:
    """Follows one answer for the readers of this process.

    Attributes:
        stream: its parts, as far as they are known here.
        was_stopped: it was stopped before there was a part.
        has_begun: there was a part; an answer may end without any, which the stream then tells who
            has waited long.
    """

    def __init__(
        self, database: Database, caller: Caller, conversation_id: UUID, turn_id: UUID
    ) -> None:
        """Take an answer of the caller's."""
        self.stream = Stream()
        self.was_stopped = False
        self.has_begun = False
        self._readerless_seconds = 0.0
        self._database = database
        self._caller = caller
        self._conversation_id = conversation_id
        self._turn_id = turn_id

    def take(self, rows: list[StoredParts]) -> bool:
        """Add the parts in the rows of read_stream that are new; tell whether there were any."""
        known = len(self.stream.parts)
        for row in rows:
            if row.parts is not None and row.first_part is not None:
                parts = ui_stream.split(row.parts.encode())
                new = parts[len(self.stream.parts) - row.first_part :]
                self.has_begun = self.has_begun or bool(new)
                if row.state == "ended":
                    self.stream.end(*new)
                elif new:
                    self.stream.add(*new)
        return len(self.stream.parts) > known

    def expect_reader(self) -> None:
        """Go on for a while, though nobody may be reading at this moment."""
        self._readerless_seconds = 0.0

    async def follow(self) -> None:
        """Ask for parts until the answer is over, or nobody has read it for some time."""
        pause = SHORTEST_PAUSE_SECONDS
        while not self.stream.is_over and self._readerless_seconds < READERLESS_SECONDS:
            try:
                has_grown = await self._ask()
            except DatabaseUnavailable:
                has_grown = False
            longer = min(pause * LENGTHENING, LONGEST_PAUSE_SECONDS)
            pause = SHORTEST_PAUSE_SECONDS if has_grown else longer
            await asyncio.sleep(pause)
            self._readerless_seconds += pause
            if self.stream.reader_count:
                self.expect_reader()

    async def _ask(self) -> bool:
        # Of no request's: it may outlast the one that began it, and costs none of them time.
        begin_background()
        asked = (self._database, self._caller, self._conversation_id, self._turn_id)
        rows = await read_stream(*asked, first_part=len(self.stream.parts))
        if rows and rows[0].state == "lapsed":
            await recover_turn(*asked)
            rows = await read_stream(*asked, first_part=len(self.stream.parts))
        if rows and rows[0].state == "stopped":
            self.was_stopped = True
            opening = ui_stream.start(str(uuid4()), self._conversation_id)
            self.stream.end(opening, ui_stream.ABORT, ui_stream.DONE)
        elif not rows:
            # Given back without an answer, taken over, or deleted with its conversation.
            self.end(AnswerNotStored() if self.has_begun else ModelFailed())
        return self.take(rows)

    def end(self, problem: Problem) -> None:
        """End the stream with a failure."""
        self.stream.end(ui_stream.error(problem.detail), ui_stream.DONE)


_followers: dict[tuple[UUID, str | None], tuple[Follower, asyncio.Task[None]]] = {}


def follow(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    turn_id: UUID,
    rows: list[StoredParts],
) -> Follower:
    """Follow an answer that another process makes, from its first part.

    Args:
        database: where its parts are kept.
        caller: who reads; it must have been shown to be the conversation's owner.
        conversation_id: in which conversation.
        turn_id: the attempt that makes it.
        rows: of read_stream, as the caller has just read them.
    """
    key = (turn_id, caller.user_id)
    if key not in _followers:
        follower = Follower(database, caller, conversation_id, turn_id)
        task = asyncio.create_task(_follow(key, follower), context=Context())
        _followers[key] = follower, task
    follower, _ = _followers[key]
    follower.expect_reader()
    follower.take(rows)
    return follower


async def _follow(key: tuple[UUID, str | None], follower: Follower) -> None:
    try:
        await follower.follow()
    except Problem as problem:
        follower.end(problem)
    except Exception as error:  # noqa: BLE001 (a task of its own: nobody else would tell the reader)
        log("unexpected_error", error=error)
        follower.end(Problem())
    finally:
        del _followers[key]
