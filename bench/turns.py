"""What a turn costs: begin_turn and finish_turn of lib.turns, without the model and its stream.

    python -m bench.turns    as docs/operations.md has it; takes a minute

One after the other, in a database of 200,000 messages: the time of the processor, in the database
and in the function; and what is written to the write-ahead log, of which a history for restoring to
a point in time consists.
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
from lib.callers import Caller
from lib.chat_requests import ChatRequest
from lib.database import Database
from lib.settings import settings
from lib.turn_ends import Rest, finish_turn
from lib.turns import begin_turn

MESSAGES = 200_000
SETTINGS = {
    "RETENTION_DAYS": "30",
    "MESSAGES_PER_MINUTE": "0",
    "MESSAGES_PER_DAY": "0",
    "SLOW_QUERY_MS": "600000",
}
ANSWER: dict[str, Any] = {
    "role": "assistant",
    "content": "I am fine, thank you. " * 20,
    "finish_reason": "stop",
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
        """Take one turn."""
        caller, conversation_id = self._where()
        request = ChatRequest(text="How are you?", message_id=str(uuid4()), wants_stream=False)
        started = time.monotonic()
        turn = await begin_turn(
            self.database,
            caller,
            conversation_id,
            request,
            turn_id=uuid4(),
            client="127.0.0.1",
            lease_ends_at=time.monotonic() + 60,
        )
        answer = replace(turn.question, message_id=str(uuid4()), **ANSWER)
        await finish_turn(self.database, turn, answer, None, Rest(0, b"", b"", b""))
        self.milliseconds.append((time.monotonic() - started) * 1000)

    def _where(self) -> tuple[Caller, UUID]:
        """Return a conversation: every other one is new, the others are of the newer half."""
        number = random.randrange(self.conversations // 2, self.conversations)  # noqa: S311
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


async def measure(server: RunningPostgres, count: int) -> tuple[Used, Used]:
    """Take turns; return what was used before and after."""
    database = Database(settings())
    turns = Turns(database, MESSAGES // 20, per_second=0)
    for _ in range(50):
        await turns.take()
    before = Used.until_now(server)
    for _ in range(count):
        await turns.take()
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
        before, after = asyncio.run(measure(server, count))
    written_bytes = (after.written_bytes - before.written_bytes) / count
    database_ms = per_turn(before, after, "database_seconds", count)
    function_ms = per_turn(before, after, "function_seconds", count)
    lines = [
        f"$ python -m bench.turns  # {count:,} turns, {machine()}",
        f"processor, in the database  {database_ms:.2f} ms a turn",
        f"processor, in the function  {function_ms:.2f} ms a turn",
        f"write-ahead log             {written_bytes:,.0f} bytes a turn",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def per_turn(before: Used, after: Used, name: str, count: int) -> float:
    """Return what a turn took, in milliseconds."""
    return (getattr(after, name) - getattr(before, name)) / count * 1000


if __name__ == "__main__":
    main()
