"""Batches: the parts of running answers, stored while they come.

Readers in other processes read them, and recovery stores them as the answer if this process dies. A
task of its own stores the new parts of all answers of the process in one statement, so that the
live streams do not wait. The statement also prolongs their leases, and tells each answer whether it
must stop: so it is sent even while no model says a word.

The first parts of an answer are stored at once, so that a reader finds it, and later ones every
second; every quarter of a second while a reader in another process follows the answer.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from lib.database.client import Database
from lib.database.statements import Statement
from lib.runtime.log import log
from lib.runtime.trace import begin_background
from lib.streams.compact import compact
from lib.streams.stream import Stream
from lib.turns.turn import LEASE_SECONDS, Turn, lease_seconds

# Of an answer that another process follows.
BATCH_SECONDS = 0.25
BATCH_BYTES = 2048
# Of the others. A killed function loses the text of this time at most.
UNFOLLOWED_SECONDS = 1.0
UNFOLLOWED_BYTES = 16 * 1024
# The pause between two looks whether a batch is due, and so the shortest between two batches.
TICK_SECONDS = 0.05
# The part of its pause after which an answer may share the statement of one that is due.
SHARE_DUE_SOON = 0.5
# The pause while `finish_turn` stores an answer: it may wait for the database, and only the lease
# is left to do.
FINISHING_SECONDS = LEASE_SECONDS / 8
# The reasons for which a batch can cut its answer.
type BatchCutReason = Literal["aborted", "lost"]


# Not frozen: there is one row for each answer and batch (lib/database/_rows.py).
@dataclass(slots=True)
class BatchOutcome:
    """A row of store_stream_batches.

    Attributes:
        turn_id: token of the attempt that makes the answer.
        is_held: the turn is still that attempt's.
        is_stopped: the answer must stop.
        is_stored: the batch is stored.
        is_followed: a reader in another process follows the answer.
        lost_from: number of the first part that the database has lost in a crash; None: it has lost
            none.
    """

    turn_id: UUID
    is_held: bool
    is_stopped: bool
    is_stored: bool
    is_followed: bool
    lost_from: int | None


STORE_STREAM_BATCHES = Statement("answers/store_stream_batches", BatchOutcome)


@dataclass(slots=True, eq=False)
class BatchedStream:
    """The stream of one answer, and how much of it is known to be stored.

    Attributes:
        turn: the turn of the answer.
        stream: the answer's stream.
        cut: cuts the answer.
        deadline: of the function, on the clock of `time.monotonic()`, in seconds.
        is_finishing: the model has ended, and `finish_turn` stores the parts that are left.
        is_followed: a reader in another process follows the answer.
        sent_at: when the stream was last in a batch, on the same clock.
        stored_parts: number of stored parts.
        stored_bytes: their size, as readers get them.
    """

    turn: Turn
    stream: Stream
    cut: Callable[[BatchCutReason], None]
    deadline: float
    is_finishing: bool = False
    is_followed: bool = False
    sent_at: float = field(default_factory=time.monotonic)
    stored_parts: int = 0
    stored_bytes: int = 0

    def unstored(self) -> bytes:
        """Return the parts that are not stored, in the form in which they are stored."""
        return self.parts_from(self.stored_parts)

    def parts_from(self, number: int) -> bytes:
        """Return the parts from a number on, in the form in which they are stored."""
        return compact(self.stream.parts[number:])

    def new_parts(self) -> tuple[int, bytes]:
        """Return the parts for the next batch, and their number."""
        if self.is_finishing:
            return 0, b""
        return len(self.stream.parts) - self.stored_parts, self.unstored()

    def is_due(self, now: float, share: float = 1.0) -> bool:
        """Return whether the next batch is due.

        Args:
            now: on the clock of `time.monotonic()`, in seconds.
            share: part of the time and of the bytes between two batches that is enough.
        """
        seconds, byte_count = self._pause
        has_much = self.stream.size - self.stored_bytes >= byte_count * share
        return now - self.sent_at >= seconds * share or (has_much and not self.is_finishing)

    @property
    def _pause(self) -> tuple[float, int]:
        """The longest time between two batches, in seconds, and the most bytes."""
        if self.is_finishing:
            return FINISHING_SECONDS, BATCH_BYTES
        is_new = bool(self.stream.parts) and not self.stored_parts
        if self.is_followed or is_new:
            return BATCH_SECONDS, BATCH_BYTES
        return UNFOLLOWED_SECONDS, UNFOLLOWED_BYTES

    def update(self, outcome: BatchOutcome, part_count: int, size: int) -> None:
        """Take the outcome of a batch that reaches up to `part_count` parts and `size` bytes."""
        self.is_followed = outcome.is_followed
        if outcome.is_stored:
            self.stored_parts, self.stored_bytes = part_count, size
        elif outcome.lost_from is not None:
            log("stream_parts_lost", count=self.stored_parts - outcome.lost_from)
            self.stored_parts = outcome.lost_from
            self.stored_bytes = sum(map(len, self.stream.parts[: outcome.lost_from]))
        if not outcome.is_held:
            self.cut("lost")
        elif outcome.is_stopped:
            self.cut("aborted")


_batch_tasks: "dict[Database, _BatchTask]" = {}


@contextmanager
def storing_batches(
    database: Database,
    turn: Turn,
    stream: Stream,
    cut: Callable[[BatchCutReason], None],
    deadline: float,
) -> Generator[BatchedStream]:
    """Store the parts of a running answer while the block runs, and prolong its lease.

    `finish_turn` stores the parts that are left: the block sets `is_finishing` before it runs.

    Args:
        database: the database to store them in.
        turn: the turn of the answer.
        stream: the answer's stream.
        cut: called with `aborted` when the answer must stop, with `lost` when the turn is another
            attempt's.
        deadline: of the function, on the clock of `time.monotonic()`, in seconds.
    """
    task = _batch_tasks.setdefault(database, _BatchTask(database))
    batched = BatchedStream(turn, stream, cut, deadline)
    task.add(batched)
    try:
        yield batched
    finally:
        task.remove(batched)


async def store_stream_batches(
    database: Database, streams: Sequence[BatchedStream]
) -> list[BatchOutcome]:
    """Store the new parts of running answers, prolong their leases, return one outcome for each.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    new_parts = [batched.new_parts() for batched in streams]
    return await database.run(
        STORE_STREAM_BATCHES(
            conversation_ids=[batched.turn.conversation_id for batched in streams],
            user_ids=[batched.turn.caller.user_id for batched in streams],
            turn_ids=[batched.turn.id for batched in streams],
            # Computed when the statement is sent: a wait for a connection must not make a lease
            # outlast the function.
            lease_seconds=lambda: [lease_seconds(batched.deadline) for batched in streams],
            first_parts=[batched.stored_parts for batched in streams],
            part_counts=[count for count, _ in new_parts],
            parts=_array([parts.decode() for _, parts in new_parts]),
            now=None,
        )
    )


class _BatchTask:
    """The task that stores the batches of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams: set[BatchedStream] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, batched: BatchedStream) -> None:
        """Store the parts of a stream from now on."""
        self._streams.add(batched)
        if self._task is None:
            # In a context of its own: the task may outlast the request that starts it, and its
            # round trips are no request's.
            self._task = asyncio.create_task(self._run(), context=Context())

    def remove(self, batched: BatchedStream) -> None:
        """Store no more parts of a stream."""
        self._streams.remove(batched)

    async def _run(self) -> None:
        while self._streams:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            if any(batched.is_due(now) for batched in self._streams):
                await self._store()
        # No await since the loop's condition: the next stream finds no task, and starts a new one.
        del _batch_tasks[self._database]

    async def _store(self) -> None:
        now = time.monotonic()
        # Those that are due soon as well: so answers that began at different times come to share
        # one statement, and an answer that is followed does not make a row a batch of the others.
        streams = [each for each in self._streams if each.is_due(now, SHARE_DUE_SOON)]
        for batched in streams:
            batched.sent_at = now
        ends = [(len(batched.stream.parts), batched.stream.size) for batched in streams]
        begin_background()
        try:
            rows = await store_stream_batches(self._database, streams)
        except Exception as error:  # noqa: BLE001 (the next batch has these parts, too)
            log("stream_batches_not_stored", cause=type(error).__name__)
            return
        outcomes = {row.turn_id: row for row in rows}
        for batched, (part_count, size) in zip(streams, ends, strict=True):
            # Skip answers that ended during the query: finish_turn stores the rest of their parts.
            is_running = batched in self._streams and not batched.is_finishing
            if is_running and batched.turn.id in outcomes:
                batched.update(outcomes[batched.turn.id], part_count, size)


def _array(texts: list[str]) -> str:
    """Return texts as one literal of type text[].

    psycopg writes such a list with regular expressions, and parts are full of quotes: a statement
    for 100 answers blocked the event loop for 5 ms, against 2 ms with this function.
    """
    escaped = [text.replace("\\", r"\\").replace('"', r"\"") for text in texts]
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"
