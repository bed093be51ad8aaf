"""Batches: the parts of running answers, stored while they come.

Readers in other processes read them, and recovery stores them as the answer if this process dies. A
task of its own stores the new parts of all answers of the process in one statement, so that the
live streams do not wait. The statement also tells each answer whether it must stop.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from lib.database.client import Database
from lib.database.statements import Statement
from lib.runtime.log import log
from lib.runtime.trace import begin_background
from lib.streams.stream import Stream
from lib.turns.turn import Turn

BATCH_SECONDS = 0.25
BATCH_BYTES = 2048
# The pause between two looks whether a batch is due, and so the shortest between two batches.
TICK_SECONDS = 0.05
# The reasons for which a batch can cut its answer.
type BatchCutReason = Literal["aborted", "lost"]


# Not frozen: there is one row for each answer, four times a second (lib/database/_rows.py).
@dataclass(slots=True)
class BatchOutcome:
    """A row of store_stream_batches.

    Attributes:
        turn_id: token of the attempt that makes the answer.
        is_held: the turn is still that attempt's.
        is_stopped: the answer must stop.
        is_stored: the batch is stored.
    """

    turn_id: UUID
    is_held: bool
    is_stopped: bool
    is_stored: bool


STORE_STREAM_BATCHES = Statement("answers/store_stream_batches", BatchOutcome)


@dataclass(slots=True, eq=False)
class BatchedStream:
    """The stream of one answer, and how much of it is known to be stored.

    Attributes:
        turn: the turn of the answer.
        stream: the answer's stream.
        cut: cuts the answer.
        stored_parts: number of stored parts.
        stored_bytes: their size.
    """

    turn: Turn
    stream: Stream
    cut: Callable[[BatchCutReason], None]
    stored_parts: int = 0
    stored_bytes: int = 0

    def unstored(self) -> bytes:
        """Return the parts that are not stored."""
        return b"".join(self.stream.parts[self.stored_parts :])

    def update(self, outcome: BatchOutcome, part_count: int, size: int) -> None:
        """Take the outcome of a batch that reaches up to `part_count` parts and `size` bytes."""
        if outcome.is_stored:
            self.stored_parts, self.stored_bytes = part_count, size
        if not outcome.is_held:
            self.cut("lost")
        elif outcome.is_stopped:
            self.cut("aborted")


_batch_tasks: "dict[Database, _BatchTask]" = {}


@contextmanager
def storing_batches(
    database: Database, turn: Turn, stream: Stream, cut: Callable[[BatchCutReason], None]
) -> Generator[BatchedStream]:
    """Store the parts of a running answer while the block runs.

    `finish_turn` stores the parts that are left after the block.

    Args:
        database: the database to store them in.
        turn: the turn of the answer.
        stream: the answer's stream.
        cut: called with `aborted` when the answer must stop, with `lost` when the turn is another
            attempt's.
    """
    task = _batch_tasks.setdefault(database, _BatchTask(database))
    batched = BatchedStream(turn, stream, cut)
    task.add(batched)
    try:
        yield batched
    finally:
        task.remove(batched)


async def store_stream_batches(
    database: Database, streams: Sequence[BatchedStream]
) -> list[BatchOutcome]:
    """Store the new parts of running answers, and return one outcome for each.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    return await database.run(
        STORE_STREAM_BATCHES(
            conversation_ids=[batched.turn.conversation_id for batched in streams],
            user_ids=[batched.turn.caller.user_id for batched in streams],
            turn_ids=[batched.turn.id for batched in streams],
            first_parts=[batched.stored_parts for batched in streams],
            part_counts=[len(batched.stream.parts) - batched.stored_parts for batched in streams],
            parts=_array([batched.unstored().decode() for batched in streams]),
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
        stored_at = time.monotonic()
        while self._streams:
            await asyncio.sleep(TICK_SECONDS)
            is_due = time.monotonic() - stored_at >= BATCH_SECONDS
            if is_due or any(
                batched.stream.size - batched.stored_bytes >= BATCH_BYTES
                for batched in self._streams
            ):
                stored_at = time.monotonic()
                await self._store()
        # No await since the loop's condition: the next stream finds no task, and starts a new one.
        del _batch_tasks[self._database]

    async def _store(self) -> None:
        streams = list(self._streams)
        ends = [(len(batched.stream.parts), batched.stream.size) for batched in streams]
        begin_background()
        try:
            rows = await store_stream_batches(self._database, streams)
        except Exception as error:  # noqa: BLE001 (the next batch has these parts, too)
            log("stream_batches_not_stored", cause=type(error).__name__)
            return
        outcomes = {row.turn_id: row for row in rows}
        for batched, (part_count, size) in zip(streams, ends, strict=True):
            # Skip answers that ended during the query: finish_turn has stored the rest of their
            # parts.
            if batched in self._streams and batched.turn.id in outcomes:
                batched.update(outcomes[batched.turn.id], part_count, size)


def _array(texts: list[str]) -> str:
    """Return texts as one literal of type text[].

    psycopg writes such a list with regular expressions, and parts are full of quotes: a statement
    for 100 answers blocked the event loop for 5 ms, against 2 ms with this function.
    """
    escaped = [text.replace("\\", r"\\").replace('"', r"\"") for text in texts]
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"
