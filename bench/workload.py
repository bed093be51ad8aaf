"""What is measured of a candidate, and the process of its own that each candidate runs in.

    python -m bench.workload bench.candidates.parley --url URL --connections 32

reads orders from its input, one JSON object a line, and answers each with another:
`{"do": "turn", "conversations": [1, 2, 3], "concurrency": 2}` with how long each took.

A turn is what is done in the database for one message: the user's message is stored, what the model
is to read is read, and its answer, which is there at once, is stored. A history is one page of
messages, as many as a conversation has in the beginning. A list and a search are Parley's alone.
Peers have an environment of their own, so this needs nothing but the standard library.
"""

import argparse
import asyncio
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Protocol, TextIO
from uuid import UUID

from bench.words import Speaker

CONVERSATIONS = 400
MESSAGES_EACH = 20
# Of a question and of an answer.
QUESTION_WORDS, ANSWER_WORDS = 12, 85
# How old the oldest message is.
DAYS = 20
SPEAKER = Speaker()
QUESTIONS = itertools.cycle([SPEAKER.text(QUESTION_WORDS) for _ in range(1000)])
ANSWERS = itertools.cycle([SPEAKER.text(ANSWER_WORDS) for _ in range(1000)])
# What is read at least. Parley's window of MESSAGES_EACH moves by half of it at a time.
LEAST = {"turn": MESSAGES_EACH // 2, "history": MESSAGES_EACH, "list": 1}


class Candidate(Protocol):
    """One way of keeping chats in Postgres."""

    async def prepare(self) -> None:
        """Make tables and fill them, the peers' with CONVERSATIONS conversations."""
        ...

    async def turn(self, conversation: int) -> int:
        """Take a turn in a conversation; return how many messages the model was given."""
        ...

    async def history(self, conversation: int) -> int:
        """Read a conversation, or its last page; return how many messages it had."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate keeps its chats.

    Attributes:
        url: of its database.
        connections: how many it may have.
        is_pooled: no named prepared statements, as behind PgBouncer in transaction mode.
        messages: how many Parley's database and the bare one are filled with.
        users: whose they are.
    """

    url: str
    connections: int
    is_pooled: bool = False
    messages: int = CONVERSATIONS * MESSAGES_EACH
    users: int = CONVERSATIONS

    def user_of(self, conversation: int) -> str:
        """Return the owner of a conversation, as `bench.large` gives it one."""
        return f"user-{conversation % self.users}"


def conversation_id(number: int) -> UUID:
    """Return the id of a conversation: the same everywhere, and as `bench.large` makes them."""
    return UUID(md5(str(number).encode()).hexdigest())  # noqa: S324 (not a secret)


def question() -> str:
    """Return a question, the next of a thousand."""
    return next(QUESTIONS)


def answer() -> str:
    """Return an answer, the next of a thousand."""
    return next(ANSWERS)


def first_messages() -> list[tuple[str, str]]:
    """Return what a conversation begins with: roles and texts."""
    pairs = ([("user", question()), ("assistant", answer())] for _ in range(MESSAGES_EACH // 2))
    return [message for pair in pairs for message in pair]


async def obey(candidate: Candidate, orders: TextIO, answers: TextIO) -> None:
    """Do what each line asks for, until there are no more."""
    while line := await asyncio.to_thread(orders.readline):
        order = json.loads(line)
        try:
            done = await _do(candidate, order)
        except Exception as error:  # noqa: BLE001 (whatever it is, whoever asked is told)
            done = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(done) + "\n")
        answers.flush()


async def _do(candidate: Candidate, order: dict[str, Any]) -> dict[str, Any]:
    what: str = order["do"]
    if what == "prepare":
        await candidate.prepare()
        return {}
    seconds: list[float] = []
    left: Iterator[int] = iter(order["conversations"])
    started, started_cpu = time.perf_counter(), time.process_time()
    action, least = getattr(candidate, what), LEAST.get(what, 0)
    working = (_repeat(action, left, seconds, least) for _ in range(order["concurrency"]))
    await asyncio.gather(*working)
    return {
        "seconds": seconds,
        "elapsed_seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - started_cpu,
    }


async def _repeat(
    action: Callable[[int], Awaitable[int]], left: Iterator[int], seconds: list[float], least: int
) -> None:
    for conversation in left:
        started = time.perf_counter()
        count = await action(conversation)
        seconds.append(time.perf_counter() - started)
        if count < least:
            message = f"only {count} were read"
            raise ValueError(message)


async def main() -> None:
    """Run one candidate."""
    parser = argparse.ArgumentParser(prog="python -m bench.workload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("module", help="whose open_candidate(place) makes the candidate")
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--pooled", action="store_true", help="as behind PgBouncer")
    parser.add_argument("--messages", type=int, default=CONVERSATIONS * MESSAGES_EACH)
    parser.add_argument("--users", type=int, default=CONVERSATIONS)
    given = parser.parse_args()
    # What a peer prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module = importlib.import_module(given.module)
    place = Place(
        given.url,
        given.connections,
        is_pooled=given.pooled,
        messages=given.messages,
        users=given.users,
    )
    candidate: Candidate = module.open_candidate(place)
    await obey(candidate, sys.stdin, answers)
    await candidate.close()


if __name__ == "__main__":
    asyncio.run(main())
