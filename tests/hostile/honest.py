"""Honest people beside the attackers: each holds a conversation, and must get every answer."""

import asyncio
import time

import httpx2

from tests.hostile.people import Person
from tests.hostile.world import World

TURNS = 4
GUESTS = 3
LANES = 2
PAUSE_SECONDS = 0.2


async def users(world: World) -> None:
    """Let one honest user after the other hold a conversation, until all attacks are over."""

    async def lane(number: int) -> None:
        following = 0
        while not (following and world.is_over.is_set()):
            await converse(world, world.user(f"honest-{number}-{following}"))
            following += 1

    await asyncio.gather(*map(lane, range(LANES)))


async def guests(world: World) -> None:
    """Let some honest guests hold a conversation; there is a ceiling for all guests together."""
    people = [world.guest(f"honest-guest-{number}") for number in range(GUESTS)]
    await asyncio.gather(*(converse(world, person) for person in people))


async def converse(world: World, person: Person) -> None:
    """Send some messages, and check each answer and the history after them."""
    try:
        chat = await person.chat()
        for number in range(TURNS):
            started = time.monotonic()
            response = await person.send(person.question("say", number), chat, f"message-{number}")
            world.slowest_seconds = max(world.slowest_seconds, time.monotonic() - started)
            world.honest_answers += response.is_whole
            if not response.is_whole or response.text != f"[{person.name}] {number}":
                world.errors.append(f"{person.name} got {response} to message {number}")
            await asyncio.sleep(PAUSE_SECONDS)
        history = await world.http.get(
            "/api/history", params={"conversation_id": chat}, headers=person.headers(chat)
        )
        if history.status_code != 200 or len(history.json()["messages"]) != 2 * TURNS:
            world.errors.append(f"{person.name} reads {history.text}")
    except httpx2.HTTPError as error:
        world.errors.append(f"{person.name} waited in vain: {error!r}")
