"""The candidates, each in a process of its own that does what it is told (bench.workload)."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from bench.large import make_database
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
    """

    name: str
    module: str
    is_peer: bool = True

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return PEERS_PYTHON if self.is_peer else Path(sys.executable)

    @property
    def database(self) -> str:
        """The name of its database."""
        return self.module.rpartition(".")[2]


FLOOR = Kind("floor", "bench.candidates.floor", is_peer=False)
PARLEY = Kind("parley", "bench.candidates.parley", is_peer=False)
SEEDS = Kind("the documents' design", "bench.peers.seeds")
OTHERS = (
    Kind("openai-agents", "bench.peers.openai_agents"),
    Kind("langchain-postgres", "bench.peers.langchain"),
    Kind("llama-index", "bench.peers.llama_index"),
)
KINDS = (FLOOR, PARLEY, SEEDS, *OTHERS)
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

    async def prepare(self) -> None:
        """Have it make its tables and fill them."""
        await self._ask({"do": "prepare"})

    async def do(self, what: str, count: int, concurrency: int = 1) -> Done:
        """Have it take turns, or read histories, so many at a time.

        Raises:
            CandidateFailed: it could not.
        """
        return Done(**await self._ask({"do": what, "count": count, "concurrency": concurrency}))

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
async def running(
    kind: Kind, url: str, connections: int, *, is_pooled: bool = False
) -> AsyncGenerator[Worker]:
    """Start a candidate's process; it ends when its input does."""
    arguments = ["-m", "bench.workload", kind.module, "--url", url]
    arguments += ["--connections", str(connections), *(["--pooled"] if is_pooled else [])]
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
    urls: dict[Kind, str] = {}
    for kind in kinds:
        if kind.is_peer:
            urls[kind] = _empty_database(server, kind.database)
        else:
            urls[kind] = make_database(server, kind.database)
        async with running(kind, urls[kind], 1) as worker:
            await worker.prepare()
        with psycopg.connect(urls[kind], autocommit=True) as database:
            database.execute("VACUUM ANALYZE")
    return urls


def _empty_database(server: RunningPostgres, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return server.url_of(name, "postgres")
