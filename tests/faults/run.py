"""One run: clients, each in a conversation of its own, in a world of faults; then the audit."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.faults.clients import Client
from tests.faults.ledger import Thread, audit
from tests.faults.world import MAX_DURATION_SECONDS, World, world
from tests.support.product import id_of

CLIENTS = 12


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run.

    Attributes:
        injected: how often each fault was injected.
        errors: a line for each error that the audit has found, and each message without an answer.
    """

    injected: Counter[str]
    errors: list[str]


async def run(turns: int, seed: int, folder: Path) -> RunResult:
    """Send so many messages, in conversations with and without an owner, and audit them."""
    async with world(seed, folder) as (made, database_url):
        threads = [_thread(number) for number in range(min(CLIENTS, turns))]
        stuck: list[str] = []
        await asyncio.gather(
            *(
                _converse(made, thread, range(number, turns, len(threads)), stuck)
                for number, thread in enumerate(threads)
            )
        )
        # An answer without a reader may still run, or have lost its function.
        await asyncio.sleep(MAX_DURATION_SECONDS + 0.5)
        errors = audit(database_url, threads, made.injected, made.script)
    return RunResult(made.injected, stuck + errors)


def _thread(number: int) -> Thread:
    owner = f"user-{number}" if number % 2 else None
    return Thread(owner=owner, chat_id=id_of(number))


async def _converse(made: World, thread: Thread, numbers: range, stuck: list[str]) -> None:
    client = Client(thread, made.random, made.base_url, made.injected, made.next_fault)
    for number in numbers:
        try:
            await client.say(f"turn {number}", f"message-{number}")
        except TimeoutError as error:
            stuck.append(str(error))
            return
