"""The world that faults happen in: Postgres, a proxy, PgBouncer, a model, two functions."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from tests.faults.ledger import Script
from tests.faults.providers import PASSING, PLAIN, PROVIDERS, ProviderModel, ProviderReply
from tests.support.model_server import TITLE_MODEL, Reply
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.product import JWT_SECRET, ROOT
from tests.support.proxy import Proxy, proxied
from tests.support.runtime import RunningFunction, start_function
from tests.support.serving import serve

# Short, so that a conversation whose function was killed is free again soon.
MAX_DURATION_SECONDS = 6
FAULT_CHANCE = 0.5
TASK_CHANCE = 0.3
MODEL_FAULTS: dict[str, Callable[[tuple[str, ...]], Reply]] = {
    "model refuses the key": lambda pieces: Reply(pieces=pieces, status=401),
    "model is overloaded": lambda pieces: Reply(pieces=pieces, status=429),
    "model fails": lambda pieces: Reply(pieces=pieces, status=500),
    "model is silent before its first token": lambda _: Reply(seconds_before=30),
    "model is silent between tokens": lambda pieces: Reply(pieces=pieces, hangs_after=2),
    "model's stream is cut before its first token": lambda pieces: Reply(
        pieces=pieces, cuts_after=0
    ),
    "model's stream is cut": lambda pieces: Reply(pieces=pieces, cuts_after=2),
    "model's stream is garbled": lambda pieces: Reply(pieces=pieces, garbles_after=2),
    "model's stream ends without a finish": lambda pieces: Reply(pieces=pieces, finish_reason=None),
    "model says nothing": lambda _: Reply(pieces=()),
    "model's answer is filtered": lambda _: Reply(pieces=(), finish_reason="content_filter"),
}


class World:
    """The parts of the product that a message depends on, and their faults."""

    def __init__(self, seed: int, postgres: RunningPostgres, proxy: Proxy) -> None:
        """Take the running Postgres and the proxy before it."""
        self.random = random.Random(seed)
        self.injected: Counter[str] = Counter()
        self.script = Script()
        self.functions: list[RunningFunction] = []
        self._environment: dict[str, str] = {}
        self._postgres = postgres
        self._proxy = proxy
        self._is_restarting = False
        self._faults: dict[str, str] = {}
        # The questions to which the model adds a task, where it may.
        self._adding: set[str] = set()

    def base_url(self) -> str:
        """Return the address of one of the processes."""
        return self.random.choice(self.functions).base_url

    def reply(self, body: dict[str, Any]) -> Reply:
        """Return the model's reply: often a fault when it sees a question for the first time.

        A provider that differs from others does so for all requests of a question.
        """
        last = body["messages"][-1]
        user = next(each for each in reversed(body["messages"]) if each["role"] == "user")
        # A question that got no answer stands in one message with the question after it.
        question = user["content"].rpartition("\n\n")[2]
        is_first = question not in self._faults
        if is_first:
            self._faults[question] = self._choose_fault()
            if self.random.random() < TASK_CHANCE:
                self._adding.add(question)
        name = self._faults[question]
        words = [f"[{question}] ", *(f"{number} " for number in self.random.sample(range(99), 6))]
        pieces = (*words, "😀")
        if name in MODEL_FAULTS and is_first:
            return MODEL_FAULTS[name](pieces)
        calls = question in self._adding and last["role"] != "tool" and "tools" in body
        if calls:
            self.script.tasks.add(question)
        self.script.texts[question].add("".join(pieces))
        is_over = name in MODEL_FAULTS or (name in PASSING and not is_first)
        provider = PLAIN if is_over or not name else PROVIDERS[name]
        return ProviderReply(
            pieces=pieces,
            seconds_between=self.random.uniform(0, 0.05),
            question=question,
            provider=provider,
            calls=calls,
        )

    def _choose_fault(self) -> str:
        """Return the name of a fault, or, more often, ''."""
        if self.random.random() > FAULT_CHANCE:
            return ""
        name = self.random.choice([*MODEL_FAULTS, *PROVIDERS])
        self.injected[name] += 1
        return name

    async def next_fault(self) -> None:
        """Inject a fault of the database or of a process now and then."""
        chance = self.random.random()
        faults: list[tuple[float, str, Callable[[], Awaitable[None]]]] = [
            (0.10, "connections are cut before a statement", self._cut),
            (0.20, "a connection is cut before its answer", self._cut_answer),
            (0.23, "a function is killed", self._kill),
            (0.245, "postgres is restarted", self._restart),
        ]
        for below, name, inject in faults:
            if chance < below:
                self.injected[name] += 1
                await inject()
                return

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _cut_answer(self) -> None:
        self._proxy.cuts_answers = True

    async def _kill(self) -> None:
        # A moment later, so that an answer is in the making.
        await asyncio.sleep(self.random.uniform(0, 0.2))
        victim = self.random.randrange(len(self.functions))
        self.functions[victim].kill()
        started = await self._start()
        # Another client may have killed it meanwhile, and started a new one.
        self.functions[victim].kill()
        self.functions[victim] = started

    async def _restart(self) -> None:
        """Kill a server process: Postgres then ends all others, recovers and starts again."""
        if self._is_restarting:
            return
        self._is_restarting = True
        with psycopg.connect(self._postgres.url, autocommit=True) as admin:
            found = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' LIMIT 1"
            ).fetchone()
            assert found is not None
            os.kill(found[0], signal.SIGKILL)
        while not await asyncio.to_thread(self._is_up):  # noqa: ASYNC110 (Postgres offers no event)
            await asyncio.sleep(0.05)
        self._is_restarting = False

    def _is_up(self) -> bool:
        try:
            psycopg.connect(self._postgres.url).close()
        except psycopg.OperationalError:
            return False
        return True

    async def start(self, environment: dict[str, str]) -> None:
        """Start two function processes."""
        self._environment = environment
        self.functions += [await self._start(), await self._start()]

    async def _start(self) -> RunningFunction:
        return await asyncio.to_thread(start_function, "api/chat.py", self._environment)


@asynccontextmanager
async def world(seed: int, folder: Path) -> AsyncGenerator[tuple[World, str]]:
    """Start a world; yield it, and the URL of its database without the proxy."""
    async with AsyncExitStack() as stack:
        # A commit must survive the crash of the server, but not that of the machine.
        durable_enough = {"synchronous_commit": "on", "max_connections": "100"}
        postgres = start_postgres(
            folder / "postgres" / "data", tcp=True, durable=False, settings=durable_enough
        )
        stack.callback(postgres.stop)
        migrate(programs() / "psql", postgres.url, ROOT)
        pooled = postgres.url
        if find_pgbouncer():
            port = stack.enter_context(running_pgbouncer(postgres.url, _made(folder / "pgbouncer")))
            pooled = through(postgres.url, port)
        proxy, proxied_url = await stack.enter_async_context(proxied(pooled))
        proxy.delay_seconds = 0.001
        made = World(seed, postgres, proxy)
        model = ProviderModel()
        model.choose = made.reply
        model.title_reply = Reply(pieces=("A title",))
        model_url = await stack.enter_async_context(serve(model))
        await made.start(
            {
                "DATABASE_URL": proxied_url,
                "OPENAI_API_KEY": "sk-test",
                "OPENAI_BASE_URL": f"{model_url}/v1",
                "MESSAGES_PER_MINUTE": "0",
                "MESSAGES_PER_DAY": "0",
                "ANONYMOUS_PER_DAY": "0",
                "TOKENS_PER_DAY": "0",
                "BYTES_PER_DAY": "0",
                "OPENAI_TITLE_MODEL": TITLE_MODEL,
                "JWT_SECRET": JWT_SECRET,
                "MAX_DURATION_SECONDS": str(MAX_DURATION_SECONDS),
                "DB_POOL_TIMEOUT": "3",
                "HISTORY_MESSAGES": "4",
            }
        )
        try:
            yield made, postgres.url
        finally:
            for function in made.functions:
                function.kill()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
