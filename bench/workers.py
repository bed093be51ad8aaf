"""The candidates, each in a process of its own that does what it is told (bench.workload)."""

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from bench.large import make_database
from bench.workload import CONVERSATIONS, Place
from dev.postgres import RunningPostgres
from tests.support.product import ROOT

PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
# An answer may be that of the whole of `prepare`, in one line.
LINE_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Kind:
    """A candidate.

    Attributes:
        name: how it is called in tables.
        module: what makes it.
        is_peer: it runs in the peers' environment.
        is_migrated: its tables are Parley's.
    """

    name: str
    module: str
    is_peer: bool = True
    is_migrated: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return PEERS_PYTHON if self.is_peer else Path(sys.executable)

    @property
    def database(self) -> str:
        """The name of its database."""
        return self.module.rpartition(".")[2]


BARE = Kind("bare", "bench.candidates.bare", is_peer=False)
PARLEY = Kind("parley", "bench.candidates.parley", is_peer=False, is_migrated=True)
SEEDS = Kind("the documents' design", "bench.peers.seeds")
LANGCHAIN = Kind("langchain-postgres", "bench.peers.langchain")
OTHERS = (
    Kind("openai-agents", "bench.peers.openai_agents"),
    LANGCHAIN,
    Kind("llama-index", "bench.peers.llama_index"),
)
KINDS = (BARE, PARLEY, SEEDS, *OTHERS)
WIDTH = max(len(kind.name) for kind in KINDS)


class CandidateFailed(Exception):
    """A candidate could not do what it was asked to; the text is its own."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a candidate was asked to do, done.

    Attributes:
        seconds: how long each took.
        elapsed_seconds: how long all of it took.
        cpu_seconds: what its own process has worked meanwhile.
    """

    seconds: list[float]
    elapsed_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A candidate's process."""

    kind: Kind
    process: Process
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(CONVERSATIONS)))

    async def prepare(self) -> None:
        """Have it make its tables and fill them."""
        await self._ask({"do": "prepare"})

    async def do(self, what: str, count: int, concurrency: int = 1) -> Done:
        """Have it take turns, or read histories, so many at a time, in one conversation each.

        Raises:
            CandidateFailed: it could not.
        """
        return await self.do_in(list(itertools.islice(self._numbers, count)), what, concurrency)

    async def do_in(self, conversations: Sequence[int], what: str, concurrency: int = 1) -> Done:
        """Have it take a turn, or read a history, in each of these conversations.

        Raises:
            CandidateFailed: it could not.
        """
        order = {"do": what, "conversations": [*conversations], "concurrency": concurrency}
        return Done(**await self._ask(order))

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise CandidateFailed(f"{self.kind.name}: {answer['error']}")
        return answer


@asynccontextmanager
async def running(kind: Kind, place: Place) -> AsyncGenerator[Worker]:
    """Start a candidate's process; it ends when its input does."""
    arguments = ["-m", "bench.workload", kind.module, "--url", place.url]
    arguments += ["--connections", str(place.connections), "--messages", str(place.messages)]
    arguments += ["--users", str(place.users), *(["--pooled"] if place.is_pooled else [])]
    process = await asyncio.create_subprocess_exec(
        *(kind.python, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        limit=LINE_BYTES,
    )
    try:
        yield Worker(kind, process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()


async def prepared(server: RunningPostgres, kinds: Sequence[Kind] = KINDS) -> dict[Kind, str]:
    """Make each candidate's database, and return their URLs."""
    urls = {kind: empty_database(server, kind) for kind in kinds}
    for kind, url in urls.items():
        await prepare(kind, Place(url, 1))
    return urls


async def prepare(kind: Kind, place: Place) -> None:
    """Have a candidate make its tables and fill them."""
    async with running(kind, place) as worker:
        await worker.prepare()
    with psycopg.connect(place.url, autocommit=True) as database:
        database.execute("VACUUM ANALYZE")


def empty_database(server: RunningPostgres, kind: Kind) -> str:
    """Make a candidate's database without rows; return its URL."""
    if kind.is_migrated:
        return make_database(server, kind.database)
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(kind.database)))
    return server.url_of(kind.database, "postgres")
