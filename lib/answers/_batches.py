"""The parts of running answers, kept in the database while they come: for who joins, and in case.

Off the path of the live streams: a task of its own stores what has come since the last time, for
all answers of the process in one statement. From it, an answer also learns that it is to stop.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.runtime.log import log
from lib.runtime.trace import begin_background
from lib.streams.stream import Stream
from lib.turns.turn import Turn

BATCH_SECONDS = 0.25
BATCH_BYTES = 2048
# How often it is looked whether a batch is due; so often it may be at most.
TICK_SECONDS = 0.05


# Not frozen: there is one for each answer, four times a second (lib/database/_rows.py).
@dataclass(slots=True)
class Standing:
    """The row of store_stream_batches."""

    turn_id: UUID
    is_held: bool
    is_stopped: bool
    is_stored: bool


STORE_STREAM_BATCHES = Statement("answers/store_stream_batches", Standing)


@dataclass(slots=True, eq=False)
class KeptStream:
    """The stream of one answer, and how much of it is known to be stored.

    Attributes:
        turn: whose answer it is.
        stream: its parts.
        cut: ends the answer, for a reason.
        stored_parts: how many of the parts are stored.
        stored_bytes: their size.
    """

    turn: Turn
    stream: Stream
    cut: Callable[[str], None]
    stored_parts: int = 0
    stored_bytes: int = 0

    def unstored(self) -> bytes:
        """Return the parts that are not stored."""
        return b"".join(self.stream.parts[self.stored_parts :])


_keepers: "dict[Database, _Keeper]" = {}


@contextmanager
def keeping(
    database: Database, turn: Turn, stream: Stream, cut: Callable[[str], None]
) -> Generator[KeptStream]:
    """Keep a running answer's stream in the database while the block runs.

    What is still to be stored after it is for `finish_turn` to store.

    Args:
        database: where.
        turn: whose answer it is.
        stream: its parts.
        cut: called with `aborted` when the answer is to stop, with `lost` when its turn was lost.
    """
    keeper = _keepers.setdefault(database, _Keeper(database))
    kept = KeptStream(turn, stream, cut)
    keeper.add(kept)
    try:
        yield kept
    finally:
        keeper.remove(kept)


class _Keeper:
    """Stores what the running answers of a process say."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: set[KeptStream] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, kept: KeptStream) -> None:
        """Store a stream from now on."""
        self._kept.add(kept)
        if self._task is None:
            # Of no request's: it may outlast the one that began it, and costs none of them time.
            self._task = asyncio.create_task(self._run(), context=Context())

    def remove(self, kept: KeptStream) -> None:
        """Store no more of a stream."""
        self._kept.remove(kept)

    async def _run(self) -> None:
        stored_at = time.monotonic()
        while self._kept:
            await asyncio.sleep(TICK_SECONDS)
            is_due = time.monotonic() - stored_at >= BATCH_SECONDS
            if is_due or any(
                kept.stream.size - kept.stored_bytes >= BATCH_BYTES for kept in self._kept
            ):
                stored_at = time.monotonic()
                await self._store()
        # Nobody can come in between: the next stream finds that there is none, and begins another.
        del _keepers[self._database]

    async def _store(self) -> None:
        kept = list(self._kept)
        ends = [len(each.stream.parts) for each in kept]
        sizes = [each.stream.size for each in kept]
        begin_background()
        try:
            found = {row.turn_id: row for row in await self._database.run(store_call(kept))}
        except Exception as error:  # noqa: BLE001 (whatever it is: the next time, all is sent again)
            log("stream_batches_not_stored", cause=type(error).__name__)
            return
        for each, end, size in zip(kept, ends, sizes, strict=True):
            # One that has ended meanwhile has said itself what is stored.
            if each in self._kept and each.turn.id in found:
                _note(each, found[each.turn.id], end, size)


def store_call(kept: list[KeptStream]) -> Call[Standing]:
    """Return the call that stores what has come of running answers, and learns how they stand."""
    return STORE_STREAM_BATCHES(
        conversation_ids=[each.turn.conversation_id for each in kept],
        user_ids=[each.turn.caller.user_id for each in kept],
        turn_ids=[each.turn.id for each in kept],
        first_parts=[each.stored_parts for each in kept],
        part_counts=[len(each.stream.parts) - each.stored_parts for each in kept],
        parts=_array([each.unstored().decode() for each in kept]),
    )


def _array(texts: list[str]) -> str:
    """Return texts as one literal of type text[].

    psycopg writes such a list with regular expressions, and parts are full of quotes: with 100
    answers a statement kept the process from all else for 5 ms; this way for 2.
    """
    escaped = [text.replace("\\", r"\\").replace('"', r"\"") for text in texts]
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"


def _note(kept: KeptStream, standing: Standing, end: int, size: int) -> None:
    if standing.is_stored:
        kept.stored_parts, kept.stored_bytes = end, size
    if not standing.is_held:
        kept.cut("lost")
    elif standing.is_stopped:
        kept.cut("aborted")
