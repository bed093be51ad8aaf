"""Turns that begin at a steady pace, whether or not those before them have ended."""

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

from bench.large import CONVERSATIONS_EACH
from bench.workload import answer, question
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.turns.begin import begin_turn
from lib.turns.finish import UnstoredParts, finish_turn
from lib.turns.request import ChatRequest

SETTINGS = {
    "RETENTION_DAYS": "30",
    "MESSAGES_PER_MINUTE": "0",
    "MESSAGES_PER_DAY": "0",
    "ANONYMOUS_PER_DAY": "0",
    "TOKENS_PER_DAY": "0",
    "BYTES_PER_DAY": "0",
    "SLOW_QUERY_MS": "600000",
}


@dataclass(slots=True)
class Turns:
    """The turns, without streams, half of them in new conversations.

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
        started = time.monotonic()
        caller, conversation_id = self._where()
        request = ChatRequest(text=question(), message_id=str(uuid4()), wants_stream=False)
        turn = await begin_turn(
            self.database,
            caller,
            conversation_id,
            request,
            turn_id=uuid4(),
            deadline=time.monotonic() + 60,
        )
        said = replace(
            turn.question,
            message_id=str(uuid4()),
            role="assistant",
            content=answer(),
            finish_reason="stop",
        )
        await finish_turn(self.database, turn, said, None, UnstoredParts(0, b"", b"", b""))
        self.milliseconds.append((time.monotonic() - started) * 1000)

    def _where(self) -> tuple[Caller, UUID]:
        """Return a user, and a conversation of the newer half, or as often a new one."""
        number = random.randrange(self.conversations // 2, self.conversations)  # noqa: S311 (not a secret)
        caller = Caller(user_id=f"user-{number % (self.conversations // CONVERSATIONS_EACH)}")
        is_new = random.random() < 0.5  # noqa: S311, PLR2004
        return caller, uuid4() if is_new else UUID(md5(str(number).encode()).hexdigest())  # noqa: S324
