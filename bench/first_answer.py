"""How long a user waits for the first answer of a function that just starts, database 5 ms away.

    python -m bench.first_answer    takes a minute

GET /api/history in Vercel's own runtime, from the start of the process to the last byte of the
answer, all that there is beneath connecting to the database included: Parley's function, and the
requirement documents' own design on FastAPI (bench.peers.seeds). In turn, with bytecode. What is
asked for is not there: with either that takes the question to the database, and is a 404.
"""

import argparse
import asyncio
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from bench.delays import network
from bench.large import make_database
from bench.workers import SEEDS
from dev.postgres import start_postgres
from tests.support.product import ROOT
from tests.support.runtime import invocation_headers, start_function

ONE_WAY_MS = 5
ASKED = f"/api/history?user_id=somebody&conversation_id={uuid4()}"


@dataclass(slots=True)
class Candidate:
    """A function, and how long each of its first answers took, in milliseconds."""

    name: str
    entrypoint: str
    python: Path
    environment: dict[str, str]
    milliseconds: list[float] = field(default_factory=list[float])

    def measure(self) -> float:
        """Start it, have it answer once, and end it; return the milliseconds until the answer."""
        started = time.monotonic()
        with start_function(self.entrypoint, self.environment, python=self.python) as function:
            at = urlsplit(function.base_url)
            assert at.hostname is not None
            connection = HTTPConnection(at.hostname, at.port)
            connection.request("GET", ASKED, headers=invocation_headers(60))
            answer = connection.getresponse()
            answer.read()
            answered = time.monotonic()
            connection.close()
        assert answer.status == 404, answer.status  # noqa: PLR2004
        return (answered - started) * 1000


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_answer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=15, help="starts of each (15)")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="first-answer-") as directory:
        postgres = start_postgres(Path(directory) / "data", tcp=True, durable=False)
        at = urlsplit(postgres.url)
        assert at.hostname is not None
        assert at.port is not None
        try:
            url = make_database(postgres, "parley")
            await prepare_seeds(make_database(postgres, "seeds", "template1"))
            async with network(at.hostname, at.port) as between:
                await between.delay(ONE_WAY_MS)
                candidates = candidates_at(between.through, url, postgres.url_of)
                await asyncio.to_thread(measure_in_turn, candidates, runs)
        finally:
            postgres.stop()
    sys.stdout.write(f"$ {shlex.join(['python', '-m', 'bench.first_answer', *sys.argv[1:]])}\n")
    sys.stdout.write(table(candidates))


def candidates_at(
    through: Callable[[str], str], url: str, url_of: Callable[[str, str], str]
) -> list[Candidate]:
    """Return the functions, with their databases by way of the proxy."""
    seeds_url = through(url_of("seeds", "postgres")).replace("postgresql:", "postgresql+asyncpg:")
    return [
        Candidate("parley", "api/history.py", Path(sys.executable), {"DATABASE_URL": through(url)}),
        Candidate(SEEDS.name, "bench/peers/seeds.py", SEEDS.python, {"DATABASE_URL": seeds_url}),
    ]


async def prepare_seeds(url: str) -> None:
    """Make the tables of the documents' design."""
    code = (
        "import asyncio, sys; from bench.peers.seeds import SQLModel, create_async_engine\n"
        "async def main():\n"
        "    engine = create_async_engine(sys.argv[1])\n"
        "    async with engine.begin() as connection:\n"
        "        await connection.run_sync(SQLModel.metadata.create_all)\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())"
    )
    url = url.replace("postgresql:", "postgresql+asyncpg:")
    making = await asyncio.create_subprocess_exec(SEEDS.python, "-c", code, url, cwd=ROOT)
    assert await making.wait() == 0


def measure_in_turn(candidates: list[Candidate], runs: int) -> None:
    """Measure each once unnoted, which writes bytecode, then all of them in turn."""
    for candidate in candidates:
        candidate.measure()
    for _ in range(runs):
        for candidate in candidates:
            candidate.milliseconds.append(candidate.measure())


def table(candidates: list[Candidate]) -> str:
    """Return the medians, and how they relate."""
    medians = [statistics.median(each.milliseconds) for each in candidates]
    lines = [
        f"{each.name:22}  {median:6.0f} ms"
        for each, median in zip(candidates, medians, strict=True)
    ]
    ratio = medians[0] / medians[1]
    lines.append(f"first answer, parley / the documents' design  {ratio:.2f} (at most 0.45)")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
