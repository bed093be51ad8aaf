"""What it costs a stream that its parts are stored beside: the time from the model to the client.

    python -m bench.streams                100 answers at once, three times with and without
    python -m bench.streams --answers 10   fewer at once

One function in Vercel's own runtime, and beside it one that stores no batches, take turns (with,
without, with, without ...), so that a machine that grows slower meanwhile slows both alike. A model
on this machine says 40 tokens a second for 5 seconds in each of the answers, all at once. A token
says when it was said, and the client notes when it has come; both look at one clock, so what is
measured is all that lies between: the function, and twice this machine's network. Model and clients
share a process, whose own work is in it too. Postgres is the embedded one, over TCP.

`ratio` is with by without. `cpu ms` is the function's own work for each answer, `statements` are
the transactions of the database for each, of which two are begin_turn and finish_turn, `batches`
the rows stored for each. With more work than the processors can do, delays are those of a queue:
then look at `cpu ms`, or ask for fewer answers.
"""

import argparse
import asyncio
import os
import re
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg

from bench.asking import ask
from bench.model import END, chunk
from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from tests.support.databases import make_database
from tests.support.runtime import PROJECT, RunningFunction, start_function

TITLE_MODEL = "title-model"
TOKENS_PER_SECOND, SECONDS = 40, 5.0
SAID_AT = re.compile(rb"@(\d+)")
# The time for a batch never comes.
WITHOUT_SOURCE = '''"""The function of POST /api/chat, without batches."""

import lib.answers._batches

lib.answers._batches.BATCH_SECONDS = lib.answers._batches.BATCH_BYTES = 10**12

from api.chat import app
'''


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function to be measured, and what was measured of it.

    Attributes:
        name: how it is called in the table.
        function: its process.
        database_url: of a database of its own.
        cpu_seconds: that the function has worked, in the measured runs.
        commits_before: transactions that the database had before the function.
        delays_ms: from the model to the client, of each token.
    """

    name: str
    function: RunningFunction
    database_url: str
    commits_before: int
    cpu_seconds: list[float] = field(default_factory=list[float])
    delays_ms: list[float] = field(default_factory=list[float])

    def percentile(self, percent: int) -> float:
        """Return below what so many of a hundred delays are."""
        return statistics.quantiles(self.delays_ms, n=100)[percent - 1]


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--answers", type=int, default=100, help="at once (100)")
    parser.add_argument("--runs", type=int, default=3, help="of each (3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streams-") as directory:
        folder = Path(directory)
        postgres = start_postgres(folder / "data", tcp=True, durable=False)
        model = await asyncio.start_server(say, "127.0.0.1", 0)
        port: int = model.sockets[0].getsockname()[1]
        candidates = start_candidates(postgres, port, folder)
        try:
            await measure_in_turn(candidates, given.answers, given.runs)
        finally:
            # What a session has done is counted when it ends.
            for candidate in candidates:
                candidate.function.stop()
            metrics = [database_metrics(each, given.answers * given.runs) for each in candidates]
            postgres.stop()
    sys.stdout.write(f"$ {shlex.join(['python', '-m', 'bench.streams', *sys.argv[1:]])}\n")
    sys.stdout.write(table(candidates, metrics, given.answers * given.runs))


def start_candidates(postgres: RunningPostgres, port: int, folder: Path) -> list[Candidate]:
    """Start the function, and the one without batches, each with a database of its own."""
    (folder / "without.py").write_text(WITHOUT_SOURCE)
    candidates: list[Candidate] = []
    places = (("with", PROJECT, "api/chat.py"), ("without", folder, "without.py"))
    for name, root, entrypoint in places:
        make_database(postgres, name)
        url = postgres.url_of(name, "postgres")
        migrate(programs() / "psql", url, PROJECT)
        commits_before = commits_of(url)
        environment = {
            "DATABASE_URL": url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OPENAI_TITLE_MODEL": TITLE_MODEL,
            "MESSAGES_PER_MINUTE": "0",
            "MESSAGES_PER_DAY": "0",
            "ANONYMOUS_PER_DAY": "0",
            "TOKENS_PER_DAY": "0",
            "BYTES_PER_DAY": "0",
            "PYTHONPATH": str(PROJECT),
        }
        function = start_function(entrypoint, environment, root=root)
        candidates.append(Candidate(name, function, url, commits_before))
    return candidates


async def measure_in_turn(candidates: Sequence[Candidate], answers: int, runs: int) -> None:
    """Have each function answer once unmeasured, then all of them in turn."""
    for candidate in candidates:
        await listen(candidate)
        candidate.delays_ms.clear()
    for _ in range(runs):
        for candidate in candidates:
            before = cpu_seconds_of(candidate.function.process_id)
            await asyncio.gather(*(listen(candidate) for _ in range(answers)))
            candidate.cpu_seconds.append(cpu_seconds_of(candidate.function.process_id) - before)


async def listen(candidate: Candidate) -> None:
    """Be a client of one answer, and note how late each of its tokens comes."""
    reader, writer = await ask(candidate.function.base_url, uuid4(), 60)
    rest = b""
    while received := await reader.read(65_536):
        now = time.monotonic_ns()
        *events, rest = (rest + received).split(b"\n")
        for event in events:
            if found := SAID_AT.search(event):
                candidate.delays_ms.append((now - int(found[1])) / 1e6)
    writer.close()


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the model of one answer: say what time it is, over and over; and know of no titles."""
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = re.findall(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if TITLE_MODEL.encode() in await reader.readexactly(int(length)):
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()
        return
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    started = time.monotonic()
    for number in range(int(TOKENS_PER_SECOND * SECONDS)):
        await asyncio.sleep(started + number / TOKENS_PER_SECOND - time.monotonic())
        writer.write(chunk({"content": f"@{time.monotonic_ns()} "}))
    writer.write(END)
    writer.close()


def cpu_seconds_of(process_id: int) -> float:
    """Return how long a process has worked, as Linux counts it (proc(5): utime and stime)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def database_metrics(candidate: Candidate, answers: int) -> tuple[float, float]:
    """Return transactions, and rows of batches, for each answer."""
    with psycopg.connect(candidate.database_url, autocommit=True) as database:
        row = database.execute(
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'stream_batches'"
        ).fetchone()
    assert row is not None
    commits = commits_of(candidate.database_url) - candidate.commits_before
    return commits / answers, row[0] / answers


def commits_of(url: str) -> int:
    """Return how many transactions a database has had."""
    with psycopg.connect(url, autocommit=True) as database:
        row = database.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return row[0]


def table(
    candidates: Sequence[Candidate], metrics: Sequence[tuple[float, float]], answers: int
) -> str:
    """Return what was measured, and how one relates to the other."""
    lines = [f"{'':8}  p50 ms  p99 ms  cpu ms  statements  batches"]
    measured: list[tuple[float, float, float]] = []
    for candidate, (statements, batches) in zip(candidates, metrics, strict=True):
        cpu_ms = sum(candidate.cpu_seconds) / answers * 1000
        measured.append((candidate.percentile(50), candidate.percentile(99), cpu_ms))
        lines.append(
            f"{candidate.name:8}  {measured[-1][0]:6.2f}  {measured[-1][1]:6.2f}  {cpu_ms:6.1f}"
            f"  {statements:10.2f}  {batches:7.2f}"
        )
    ratios = [with_ / without for with_, without in zip(*measured, strict=True)]
    lines.append(f"{'ratio':8}  {ratios[0]:6.2f}  {ratios[1]:6.2f}  {ratios[2]:6.2f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
