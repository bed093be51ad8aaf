"""What many streams at once cost the function, beside a server that passes them on and no more.

    python -m bench.load    100 and 400 streams at once; takes six minutes

Candidates, each a process, take turns: Parley's function in Vercel's own runtime; `bare`, a loop
over sockets; and `openai`, the same loop over that package's stream objects (both: bench.relay).
The model says its first token at once, and then all streams together have 2,000 tokens a second.
A new stream begins each 20 ms until there are as many as wanted.

`cpu ms` is the candidate's own work for 1,000 tokens while all streams run. `first ms` is the time
from a request to its first token, the median and the longest; `alone ms` is that of one stream
without others. `KB` is the memory that a stream takes while all run. Postgres is the embedded one.
"""

import argparse
import asyncio
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

from bench.asking import Heard, hear
from bench.model import PacedModel
from bench.streams import cpu_seconds_of
from dev.postgres import programs, start_postgres
from dev.psql import migrate
from tests.support.databases import make_database
from tests.support.runtime import PROJECT, start_function

STREAMS = (100, 400)
TOKENS_PER_SECOND = 2000
BETWEEN_STREAMS_SECONDS = 0.02
WINDOW_SECONDS = 6.0
ALONE = 30
PARLEY, BARE = "parley", "bare"


@dataclass(slots=True)
class Load:
    """What was measured of so many streams at once.

    Attributes:
        cpu_ms: of the candidate's process, for 1,000 tokens.
        first_ms: from each request to its first token.
        kilobytes: of memory, for each stream.
        failed: streams that did not come to their end.
    """

    cpu_ms: list[float] = field(default_factory=list[float])
    first_ms: list[float] = field(default_factory=list[float])
    kilobytes: list[float] = field(default_factory=list[float])
    failed: int = 0


@dataclass(slots=True)
class Candidate:
    """A server to be measured, and what was measured of it."""

    name: str
    base_url: str
    process: psutil.Process
    stop: Callable[[], None]
    alone_ms: list[float] = field(default_factory=list[float])
    loads: dict[int, Load] = field(default_factory=dict[int, Load])


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=3, help="of each (3)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="load-") as directory:
        postgres = start_postgres(Path(directory) / "data", tcp=True, durable=False)
        make_database(postgres, "load")
        url = postgres.url_of("load", "postgres")
        migrate(programs() / "psql", url, PROJECT)
        model = await PacedModel.start()
        candidates = [start_parley(url, model.port)]
        candidates += [start_relay(how, model.port) for how in (BARE, "openai")]
        try:
            await measure(candidates, model, runs)
        finally:
            for candidate in candidates:
                candidate.stop()
            postgres.stop()
    sys.stdout.write(f"$ {shlex.join(['python', '-m', 'bench.load', *sys.argv[1:]])}\n")
    sys.stdout.write(table(candidates))


def start_parley(database_url: str, model_port: int) -> Candidate:
    """Start the function."""
    environment = {
        "DATABASE_URL": database_url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_TITLE_MODEL": PacedModel.UNKNOWN,
        "MESSAGES_PER_MINUTE": "0",
        "MESSAGES_PER_DAY": "0",
        "ANONYMOUS_PER_DAY": "0",
        "TOKENS_PER_DAY": "0",
        "BYTES_PER_DAY": "0",
    }
    function = start_function("api/chat.py", environment)
    process = psutil.Process(function.process_id)
    return Candidate(PARLEY, function.base_url, process, function.stop)


def start_relay(how: str, model_port: int) -> Candidate:
    """Start one that only passes on."""
    command = [sys.executable, "-m", "bench.relay", str(model_port), how]
    relay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)  # noqa: S603
    assert relay.stdout is not None
    port = relay.stdout.readline().strip()
    return Candidate(how, f"http://127.0.0.1:{port}", psutil.Process(relay.pid), relay.kill)


async def measure(candidates: Sequence[Candidate], model: PacedModel, runs: int) -> None:
    """Measure one stream alone, then as many as wanted, with each candidate in turn."""
    model.seconds_between = 0
    model.tokens = 2
    for run in range(ALONE + 5):
        for candidate in candidates:
            heard = await hear(candidate.base_url, uuid4(), 60)
            if run >= 5:  # noqa: PLR2004 (the first have a pool to open, and modules to import)
                candidate.alone_ms.append(heard.first_ms)
    for streams in STREAMS:
        model.seconds_between = streams / TOKENS_PER_SECOND
        lasts = streams * BETWEEN_STREAMS_SECONDS + WINDOW_SECONDS + 2
        model.tokens = int(lasts / model.seconds_between)
        for _ in range(runs):
            for candidate in candidates:
                load = candidate.loads.setdefault(streams, Load())
                await measure_load(candidate, load, streams)


async def measure_load(candidate: Candidate, load: Load, streams: int) -> None:
    """Have so many streams at once, and measure while all of them run."""
    idle_bytes = candidate.process.memory_info().rss
    asking: list[asyncio.Task[Heard]] = []
    started = time.monotonic()
    for each in range(streams):
        asking.append(asyncio.create_task(hear(candidate.base_url, uuid4(), 120)))
        await asyncio.sleep(started + (each + 1) * BETWEEN_STREAMS_SECONDS - time.monotonic())
    await asyncio.sleep(1)
    before, began = cpu_seconds_of(candidate.process.pid), time.monotonic()
    await asyncio.sleep(WINDOW_SECONDS)
    seconds = time.monotonic() - began
    used = cpu_seconds_of(candidate.process.pid) - before
    load.cpu_ms.append(used * 1000 / (seconds * TOKENS_PER_SECOND) * 1000)
    load.kilobytes.append((candidate.process.memory_info().rss - idle_bytes) / streams / 1024)
    for heard in await asyncio.gather(*asking):
        load.first_ms.append(heard.first_ms)
        load.failed += not heard.is_whole


def table(candidates: Sequence[Candidate]) -> str:
    """Return what was measured, and how it relates to the bare loop."""
    lines = [f"{'':8} {'streams':>7}  cpu ms  ratio  first ms  longest  KB each  failed  alone ms"]
    [bare] = [each for each in candidates if each.name == BARE]
    for streams in STREAMS:
        for candidate in candidates:
            load = candidate.loads[streams]
            cpu_ms = statistics.median(load.cpu_ms)
            ratio = cpu_ms / statistics.median(bare.loads[streams].cpu_ms)
            lines.append(
                f"{candidate.name:8} {streams:7}  {cpu_ms:6.1f}  {ratio:5.2f}"
                f"  {statistics.median(load.first_ms):8.1f}  {max(load.first_ms):7.1f}"
                f"  {max(load.kilobytes):7.0f}  {load.failed:6}"
                f"  {statistics.median(candidate.alone_ms):8.1f}"
            )
    [parley] = [each for each in candidates if each.name == PARLEY]
    for streams in STREAMS:
        load, least = parley.loads[streams], bare.loads[streams]
        ratio = statistics.median(load.cpu_ms) / statistics.median(least.cpu_ms)
        lines.append(f"cpu at {streams} streams, parley / bare  {ratio:.2f} (at most 2.5)")
    most, failed = STREAMS[-1], sum(each.failed for each in parley.loads.values())
    longest = max(parley.loads[most].first_ms)
    lines.append(f"first byte at {most} streams, longest ms  {longest:.0f} (at most 500)")
    lines.append(f"streams that failed  {failed} (at most 0)")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
