"""One run: clients, each in a conversation of its own, in a world of faults; then the audit."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.faults.clients import Client
from tests.faults.ledger import Thread, audit
from tests.faults.world import MAX_DURATION_SECONDS, World, world

CLIENTS = 12


@dataclass(frozen=True, slots=True)
class Found:
    """What a run injected, and what the audit found to be wrong."""

    injected: Counter[str]
    wrong: list[str]


async def run(turns: int, seed: int, folder: Path) -> Found:
    """Have so many things said, in conversations with and without an owner, and audit them."""
    async with world(seed, folder) as (made, database_url):
        threads = [_thread(number) for number in range(min(CLIENTS, turns))]
        stuck: list[str] = []
        await asyncio.gather(
            *(
                _converse(made, thread, range(number, turns, len(threads)), stuck)
                for number, thread in enumerate(threads)
            )
        )
        # An answer whose reader left may still be in the making, or have lost its function.
        await asyncio.sleep(MAX_DURATION_SECONDS + 0.5)
        wrong = audit(database_url, threads, made.injected)
    return Found(made.injected, stuck + wrong)


def _thread(number: int) -> Thread:
    owner = f"user-{number}" if number % 2 else None
    return Thread(owner=owner, chat_id=f"conversation-{number:04}")


async def _converse(made: World, thread: Thread, numbers: range, stuck: list[str]) -> None:
    client = Client(thread, made.random, made.base_url, made.injected, made.next_fault)
    for number in numbers:
        try:
            await client.say(f"turn {number}", f"message-{number}")
        except TimeoutError as error:
            stuck.append(str(error))
            return
