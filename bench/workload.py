"""What is measured of a candidate, and the process of its own that each candidate runs in.

    python -m bench.workload bench.candidates.parley --url URL --connections 32

reads orders from its input, one JSON object a line, and answers each with another:
`{"do": "turn", "count": 64, "concurrency": 32}` with how long each took.

A turn is what is done in the database for one message: the user's message is stored, what the model
is to read is read, and its answer, which is there at once, is stored. A history is one page of
messages, as many as a conversation has in the beginning. Peers have an environment of their own,
so this needs nothing but the standard library.
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

CONVERSATIONS = 400
MESSAGES_EACH = 20
QUESTION = "What do I have to do today, and what of it can wait until tomorrow? Be brief, please."
ANSWER = "You have three things to do today, and one of them can wait. " * 8


class Candidate(Protocol):
    """One way of keeping chats in Postgres."""

    async def prepare(self) -> None:
        """Make tables, and CONVERSATIONS conversations of MESSAGES_EACH messages."""
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
        is_pooled: it is PgBouncer, in transaction mode, that listens there.
    """

    url: str
    connections: int
    is_pooled: bool = False


def conversation_id(number: int) -> UUID:
    """Return the id of a conversation: the same everywhere, and as `bench.large` makes them."""
    return UUID(md5(str(number).encode()).hexdigest())  # noqa: S324 (not a secret)


def first_messages() -> list[tuple[str, str]]:
    """Return what every conversation begins with: roles and texts."""
    return [("user", QUESTION), ("assistant", ANSWER)] * (MESSAGES_EACH // 2)


async def obey(candidate: Candidate, orders: TextIO, answers: TextIO) -> None:
    """Do what each line asks for, until there are no more."""
    numbers = itertools.cycle(range(CONVERSATIONS))
    while line := await asyncio.to_thread(orders.readline):
        order = json.loads(line)
        try:
            answer = await _do(candidate, order, numbers)
        except Exception as error:  # noqa: BLE001 (whatever it is, whoever asked is told)
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


async def _do(
    candidate: Candidate, order: dict[str, Any], numbers: Iterator[int]
) -> dict[str, Any]:
    if order["do"] == "prepare":
        await candidate.prepare()
        return {}
    is_turn = order["do"] == "turn"
    action = candidate.turn if is_turn else candidate.history
    # Parley's window of MESSAGES_EACH moves by half of it at a time.
    least = MESSAGES_EACH // 2 if is_turn else MESSAGES_EACH
    seconds: list[float] = []
    left = itertools.repeat(None, order["count"])
    started, started_cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as working:
        for _ in range(order["concurrency"]):
            working.create_task(_repeat(action, left, numbers, seconds, least))
    return {
        "seconds": seconds,
        "elapsed_seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - started_cpu,
    }


async def _repeat(
    action: Callable[[int], Awaitable[int]],
    left: Iterator[None],
    numbers: Iterator[int],
    seconds: list[float],
    least: int,
) -> None:
    for _ in left:
        started = time.perf_counter()
        count = await action(next(numbers))
        seconds.append(time.perf_counter() - started)
        if count < least:
            message = f"only {count} messages were read"
            raise ValueError(message)


async def main() -> None:
    """Run one candidate."""
    parser = argparse.ArgumentParser(prog="python -m bench.workload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("module", help="whose open_candidate(place) makes the candidate")
    parser.add_argument("--url", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--pooled", action="store_true", help="PgBouncer listens there")
    given = parser.parse_args()
    # What a peer prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module = importlib.import_module(given.module)
    place = Place(given.url, given.connections, is_pooled=given.pooled)
    candidate: Candidate = module.open_candidate(place)
    await obey(candidate, sys.stdin, answers)
    await candidate.close()


if __name__ == "__main__":
    asyncio.run(main())
