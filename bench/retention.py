"""What turns notice of the clean-up: 2 million messages, a quarter of them expired.

    python -m bench.retention                    as docs/operations.md has it; takes five minutes
    python -m bench.retention --messages 200000  a quick look

Turns begin at a steady pace, whether or not those before them have ended: `begin_turn` and
`finish_turn` of lib/turns/, in conversations old and new. A process of its own calls what the cron
calls, and is stopped every other second: whatever else this machine does disturbs the turns in the
seconds without it as much as in those with it. In the end, in a copy of the database and
undisturbed, a single DELETE. The clean-up is over after 5 minutes at most.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from typing import Any, override

import psycopg

from bench.large import fill, large_server, machine, make_database
from bench.pace import SETTINGS, Turns
from lib.database.client import Database
from lib.database.statements import Call
from lib.operations.clean_up import clean_up
from lib.operations.health import LIST_MIGRATIONS
from lib.settings import settings

DAYS = 40
SLICE_SECONDS = 1.0
DELETE = "DELETE FROM chat_messages WHERE created_at < now() - make_interval(days => 30)"


class TimedDatabase(Database):
    """The database, with what each of the clean-up's batches kept it busy."""

    def __init__(self) -> None:
        """Open it as the functions do."""
        super().__init__(settings())
        self.own_ms: list[float] = []

    @override
    async def run(self, *calls: Call[Any]) -> Any:
        """Run a batch; remember what the database says that it took."""
        rows = await super().run(*calls)
        self.own_ms += [row.duration_ms for row in rows if hasattr(row, "duration_ms")]
        return rows


async def clean_up_alone() -> None:
    """Do what the cron does, in a process of its own, once told to; print what it reports."""
    database = TimedDatabase()
    await database.run(LIST_MIGRATIONS())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    report = await clean_up(database)
    await database.close()
    sys.stdout.write(json.dumps(report.to_json() | {"own_ms": database.own_ms}))


@dataclass(slots=True)
class Measured:
    """Turns, undisturbed and disturbed, in milliseconds; how long they were disturbed, and by what.

    Attributes:
        undisturbed: how long turns took in the slices without the clean-up.
        disturbed: how long they took in the others.
        seconds: what those lasted, together.
        report: the clean-up's own, with what its batches took.
    """

    undisturbed: list[float] = field(default_factory=list[float])
    disturbed: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict[str, Any])


async def measure(messages: int, pace: float) -> Measured:
    """Take turns while another process cleans up, every other slice of time."""
    database, measured = Database(settings()), Measured()
    turns = Turns(database, messages // 20, pace)
    cleaner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.retention", "--clean-up"), stdin=PIPE, stdout=PIPE
    )
    assert cleaner.stdin
    assert cleaner.stdout
    await cleaner.stdout.readline()
    await turns.measure(asyncio.create_task(asyncio.sleep(SLICE_SECONDS)))  # warm
    measured.undisturbed += await turns.measure(asyncio.create_task(asyncio.sleep(SLICE_SECONDS)))
    cleaner.stdin.write(b"go\n")
    reading = asyncio.create_task(cleaner.stdout.read())
    while not reading.done():
        started = time.monotonic()
        cleaning = asyncio.create_task(asyncio.wait([reading], timeout=SLICE_SECONDS))
        measured.disturbed += await turns.measure(cleaning)
        measured.seconds += time.monotonic() - started
        with contextlib.suppress(ProcessLookupError):
            cleaner.send_signal(signal.SIGSTOP)
        resting = asyncio.create_task(asyncio.sleep(SLICE_SECONDS))
        measured.undisturbed += await turns.measure(resting)
        with contextlib.suppress(ProcessLookupError):
            cleaner.send_signal(signal.SIGCONT)
    await database.close()
    measured.report = json.loads(reading.result())
    return measured


def delete_at_once(url: str) -> tuple[int, float]:
    """Delete with one statement what has expired; return how many went, and the seconds it took."""
    with psycopg.connect(url, autocommit=True) as database:
        started = time.monotonic()
        return database.execute(DELETE).rowcount, time.monotonic() - started


def p95(milliseconds: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(milliseconds, n=100)[94]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.retention", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--messages", type=int, default=2_000_000, help="how many (2000000)")
    parser.add_argument("--pace", type=float, default=40, help="turns that begin in a second (40)")
    parser.add_argument("--clean-up", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clean_up:
        asyncio.run(clean_up_alone())
        return
    with large_server() as server:
        url = make_database(server, "large")
        fill(url, arguments.messages, days=DAYS, words=85)
        copy = make_database(server, "copy", template="large")
        os.environ |= SETTINGS | {"DATABASE_URL": url, "MAX_DURATION_SECONDS": "300"}
        measured = asyncio.run(measure(arguments.messages, arguments.pace))
        at_once, seconds = delete_at_once(copy)
    title = f"$ python -m bench.retention  # {arguments.messages:,} messages, {machine()}"
    sys.stdout.write("\n".join([title, *table(measured, at_once / seconds, arguments.pace)]) + "\n")


def table(measured: Measured, single_delete: float, pace: float) -> list[str]:
    """Return the metrics, and how they relate."""
    report = dict(measured.report)
    own_ms = report.pop("own_ms")
    speed = report["deleted"] / measured.seconds
    ratio = p95(measured.disturbed) / p95(measured.undisturbed)
    rows = (("undisturbed", measured.undisturbed), ("by the clean-up", measured.disturbed))
    return [
        f"{f'turns, {pace:g} a second':28} number  median ms  p95 ms  longest ms",
        *(
            f"{name:28} {len(times):6}  {statistics.median(times):9.1f}  {p95(times):6.1f}"
            f"  {max(times):10.1f}"
            for name, times in rows
        ),
        f"p95 disturbed / undisturbed  {ratio:.2f} (at most 1.5)",
        f"the clean-up reported        {json.dumps(report)}",
        f"messages deleted a second    {speed:,.0f}, conversations included",
        f"by a single DELETE           {single_delete:,.0f}",
        f"the one / the other          {speed / single_delete:.2f} (at least 0.08)",
        f"batches, in the database     {spread(own_ms)}",
        f"longest batch, ms            {max(own_ms):.1f} (at most 10)",
    ]


def spread(milliseconds: list[float]) -> str:
    """Return what most took, nearly all, and the longest."""
    p99 = statistics.quantiles(milliseconds, n=100)[98]
    median, longest = statistics.median(milliseconds), max(milliseconds)
    return f"median {median:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms"


if __name__ == "__main__":
    main()
