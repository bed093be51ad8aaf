"""What a turn costs: begin_turn, the batches of its stream, and finish_turn; without the model.

    python -m bench.turns    as docs/operations.md has it; takes a minute

Ten answers at a time, each of 8 seconds, whose batches are stored in one statement for all of them;
without the pauses between, in a database of 200,000 messages: the time of the processor, in the
database and in the function; and what is written to the write-ahead log, of which a history for
restoring to a point in time consists. Then the same without batches.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass, field, replace
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg

from bench.large import fill, large_server, machine, make_database
from dev.postgres import RunningPostgres
from lib.answers._batches import BatchedStream, store_stream_batches
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.settings import settings
from lib.streams.parts import text_delta
from lib.streams.stream import Stream
from lib.turns.begin import begin_turn
from lib.turns.finish import UnstoredParts, finish_turn
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn

MESSAGES = 200_000
SETTINGS = {
    "RETENTION_DAYS": "30",
    "MESSAGES_PER_MINUTE": "0",
    "MESSAGES_PER_DAY": "0",
    "ANONYMOUS_PER_DAY": "0",
    "TOKENS_PER_DAY": "0",
    "BYTES_PER_DAY": "0",
    "SLOW_QUERY_MS": "600000",
}
ANSWER: dict[str, Any] = {
    "role": "assistant",
    "content": "I am fine, thank you. " * 20,
    "finish_reason": "stop",
}
TOGETHER = 10
# Each quarter of a second of 8, at 13 tokens a second.
BATCHES = 32
BATCH = [text_delta(0, " token")] * 3
METRICS = {
    "processor, in the database": ("database_seconds", 1000, "ms"),
    "processor, in the function": ("function_seconds", 1000, "ms"),
    "write-ahead log": ("written_bytes", 0.001, "KB"),
}
WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


@dataclass(slots=True)
class Turns:
    """Turns that begin at a steady pace.

    Attributes:
        database: where.
        conversations: how many there are to go on with.
        per_second: the pace.
        milliseconds: how long each took, of those since `measure` was called.
    """

    database: Database
    conversations: int
    per_second: float
    milliseconds: list[float] = field(default_factory=list[float])

    async def measure(self, until: "asyncio.Task[Any]") -> list[float]:
        """Take turns until a task is done; return how long each took, in milliseconds."""
        self.milliseconds, running = [], set[asyncio.Task[None]]()
        started, count = time.monotonic(), 0
        while not until.done():
            running.add(asyncio.create_task(self.take()))
            count += 1
            await asyncio.sleep(started + count / self.per_second - time.monotonic())
        await asyncio.gather(*running)
        return self.milliseconds

    async def take(self) -> None:
        """Take one turn, without a stream."""
        started = time.monotonic()
        number = random.choice(self._newer())  # noqa: S311 (not a secret)
        await self._end(await self._begin(number), UnstoredParts(0, b"", b"", b""))
        self.milliseconds.append((time.monotonic() - started) * 1000)

    async def take_together(self, batches: int) -> None:
        """Take TOGETHER turns at once, each with so many batches of a stream."""
        # Others each: a conversation has one turn at a time.
        numbers = random.sample(self._newer(), TOGETHER)
        turns = await asyncio.gather(*map(self._begin, numbers))
        streams = [BatchedStream(turn, Stream(), _ignore, time.monotonic() + 60) for turn in turns]
        for _ in range(batches):
            for batched in streams:
                batched.stream.add(*BATCH)
            await store_stream_batches(self.database, streams)
            for batched in streams:
                size = batched.stream.size
                batched.stored_parts, batched.stored_bytes = len(batched.stream.parts), size
        ends = (
            self._end(batched.turn, UnstoredParts(batched.stored_parts, b"", b"", b""))
            for batched in streams
        )
        await asyncio.gather(*ends)

    async def _begin(self, number: int) -> Turn:
        caller, conversation_id = self._where(number)
        request = ChatRequest(text="How are you?", message_id=str(uuid4()), wants_stream=False)
        return await begin_turn(
            self.database,
            caller,
            conversation_id,
            request,
            turn_id=uuid4(),
            deadline=time.monotonic() + 60,
        )

    async def _end(self, turn: Turn, rest: UnstoredParts) -> None:
        answer = replace(turn.question, message_id=str(uuid4()), **ANSWER)
        await finish_turn(self.database, turn, answer, None, rest)

    def _newer(self) -> range:
        """Return the numbers of the newer half of the conversations."""
        return range(self.conversations // 2, self.conversations)

    def _where(self, number: int) -> tuple[Caller, UUID]:
        """Return a user, and that conversation, or as often a new one."""
        caller = Caller(user_id=f"user-{number % (self.conversations // 25)}")
        is_new = random.random() < 0.5  # noqa: S311, PLR2004
        return caller, uuid4() if is_new else UUID(md5(str(number).encode()).hexdigest())  # noqa: S324


@dataclass(frozen=True, slots=True)
class Used:
    """What has been used so far."""

    database_seconds: float
    function_seconds: float
    written_bytes: int

    @staticmethod
    def until_now(server: RunningPostgres) -> "Used":
        """Ask the operating system, and the database."""
        family = psutil.Process(server.child.keeper.pid).children(recursive=True)
        times = [process.cpu_times() for process in family]
        with psycopg.connect(server.url) as database:
            [(written_bytes,)] = database.execute(WRITTEN).fetchall()
        return Used(
            sum(each.user + each.system for each in times), time.process_time(), written_bytes
        )


async def measure(server: RunningPostgres, count: int, batches: int) -> tuple[Used, Used]:
    """Take turns with so many batches each; return what was used before and after."""
    database = Database(settings())
    turns = Turns(database, MESSAGES // 20, per_second=0)
    for _ in range(10):
        await turns.take_together(batches)
    before = Used.until_now(server)
    for _ in range(count // TOGETHER):
        await turns.take_together(batches)
    after = Used.until_now(server)
    await database.close()
    return before, after


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--turns", type=int, default=2000, help="how many (2000)")
    count = parser.parse_args().turns
    with large_server() as server:
        url = make_database(server, "large")
        fill(url, MESSAGES, days=20, words=85)
        os.environ |= SETTINGS | {"DATABASE_URL": url}
        whole = asyncio.run(measure(server, count, BATCHES))
        bare = asyncio.run(measure(server, count, 0))
    lines = [
        f"$ python -m bench.turns  # {count:,} turns, {machine()}",
        f"{'a turn':26}  with its stream  without",
    ]
    for name, (field_name, factor, unit) in METRICS.items():
        metrics = [per_turn(*used, field_name, count) * factor for used in (whole, bare)]
        lines.append(f"{name:26}  {metrics[0]:12,.2f} {unit}  {metrics[1]:.2f} {unit}")
    sys.stdout.write("\n".join(lines) + "\n")


def per_turn(before: Used, after: Used, name: str, count: int) -> float:
    """Return what a turn took."""
    return (getattr(after, name) - getattr(before, name)) / count


def _ignore(_: str) -> None:
    """Be what cuts an answer that nobody stops."""


if __name__ == "__main__":
    main()
