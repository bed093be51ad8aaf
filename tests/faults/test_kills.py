"""Functions killed in the middle of an answer, at random moments: how much of it is lost?"""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from lib.answers._batches import BATCH_SECONDS, TICK_SECONDS
from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CRON_SECRET, headers_of, sdk_body, text_of
from tests.support.reading import path_of
from tests.support.runtime import RunningFunction, invocation_headers, start_function

KILLS, SEED = 50, 6
# So many at a time are started, answer, and are killed.
AT_ONCE = 5
# How long an answer has been under way when its function is killed.
LONGEST_SECONDS = 1.5
# For one statement, where the processors have other things to do. (0.05 s on a quiet machine.)
SLACK_SECONDS = 0.7
PIECES = tuple(f"word{number} " for number in range(1000))
WHOLE = "".join(PIECES)
STEADY = Reply(pieces=PIECES, seconds_between=0.025)
SHORT = "".join(Reply().pieces)
USER = headers_of("ann")


@dataclass(slots=True)
class Killed:
    """An answer whose function was killed.

    Attributes:
        chat_id: of its conversation.
        came: the text that its client had got.
        came_at: when which part of it had come: times, and numbers of characters.
        killed_at: when, on the clock of `time.monotonic()`, in seconds, as all times here.
    """

    chat_id: str
    came: str = ""
    came_at: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    killed_at: float = 0.0

    @property
    def conversation_id(self) -> UUID:
        """Of its conversation, as it is stored."""
        return conversation_id_of(self.chat_id, Caller("ann"))

    def lost_seconds(self, stored: str) -> float:
        """Tell for how long what is lost had been with the client, at most; 0: nothing is."""
        lost = [at for at, characters in self.came_at if characters > len(stored)]
        return max(0.0, self.killed_at - lost[0]) if lost else 0.0


@dataclass(frozen=True, slots=True)
class Survivors:
    """Functions that live on, and a client."""

    chat: RunningFunction
    stream: RunningFunction
    cron: RunningFunction
    client: httpx2.AsyncClient

    async def say(self, killed: Killed, text: str, number: int) -> httpx2.Response:
        """Say something where an answer was cut off."""
        body = sdk_body(text, chat_id=killed.chat_id, message_id=f"message-{number}")
        url, headers = f"{self.chat.base_url}/api/chat", USER | invocation_headers(30)
        return await self.client.post(url, json=body, headers=headers)

    async def read(self, killed: Killed) -> None:
        """Come back to what was cut off."""
        url, headers = self.stream.base_url + path_of(killed.chat_id), USER | invocation_headers(30)
        response = await self.client.get(url, headers=headers)
        # Nothing was stored yet, or it is there.
        assert response.status_code in {200, 204}
        assert response.status_code == 204 or '"type":"error"' in response.text

    async def clean_up(self) -> None:
        """Come as the cron."""
        headers = {"authorization": f"Bearer {CRON_SECRET}"} | invocation_headers(30)
        url = f"{self.cron.base_url}/api/cron/cleanup"
        assert (await self.client.get(url, headers=headers)).status_code == 200


@pytest.fixture
async def survivors(environment: dict[str, str]) -> AsyncGenerator[Survivors]:
    """Return the functions that live on."""
    files = ("api/chat.py", "api/chat/[id]/stream.py", "api/cron/cleanup.py")
    chat, stream, cron = await asyncio.gather(
        *(asyncio.to_thread(start_function, file, environment) for file in files)
    )
    async with AsyncExitStack() as stack:
        for function in (chat, stream, cron):
            stack.push_async_callback(asyncio.to_thread, function.stop)
        client = httpx2.AsyncClient(timeout=60, verify=False)
        yield Survivors(chat, stream, cron, await stack.enter_async_context(client))


async def test_of_50_answers_whose_function_is_killed_no_more_than_a_batch_is_lost(
    survivors: Survivors,
    environment: dict[str, str],
    model: ScriptedModel,
    database: psycopg.Connection,
) -> None:
    told: set[str] = set()

    def choose(body: dict[str, Any]) -> Reply:
        """Go on for ever with what is said first, and be short with all else."""
        question = body["messages"][-1]["content"]
        is_first = question.startswith("Tell") and question not in told
        told.add(question)
        return STEADY if is_first else Reply()

    model.choose = choose
    chance = random.Random(SEED)
    waiting = [
        (f"conversation-{number:04}", chance.uniform(0, LONGEST_SECONDS)) for number in range(KILLS)
    ]
    killed: list[Killed] = []
    recovering: list[asyncio.Task[None]] = []

    async def kill_some() -> None:
        while waiting:
            chat_id, seconds = waiting.pop()
            killed.append(await _kill_one(chat_id, seconds, environment))
            # Rather than to wait for the rest of its minute.
            database.execute(
                "UPDATE conversations SET turn_expires_at = now() WHERE id = %s",
                [killed[-1].conversation_id],
            )
            recovering.append(asyncio.create_task(_recover(survivors, killed[-1], len(killed) % 4)))

    await asyncio.gather(*(kill_some() for _ in range(AT_ONCE)))
    await asyncio.gather(*recovering)

    lost = sorted(each.lost_seconds(_stored(database, each)) for each in killed)
    assert len(lost) == KILLS
    assert lost[KILLS // 2] < BATCH_SECONDS + TICK_SECONDS
    assert lost[-1] < BATCH_SECONDS + TICK_SECONDS + SLACK_SECONDS
    # Nothing is left behind.
    assert database.execute(
        "SELECT (SELECT count(*) FROM stream_batches), "
        "(SELECT count(*) FROM conversations WHERE turn_id IS NOT NULL)"
    ).fetchone() == (0, 0)


async def _kill_one(chat_id: str, seconds: float, environment: dict[str, str]) -> Killed:
    """Have a function of its own answer, and kill it after a while."""
    function = await asyncio.to_thread(start_function, "api/chat.py", environment)
    killed, has_begun = Killed(chat_id), asyncio.Event()
    reading = asyncio.create_task(_read(killed, function, has_begun))
    try:
        async with asyncio.timeout(30):
            await has_begun.wait()
        await asyncio.sleep(seconds)
        os.kill(function.process_id, signal.SIGKILL)
        killed.killed_at = time.monotonic()
    finally:
        await asyncio.to_thread(function.kill)
    await reading
    assert WHOLE.startswith(killed.came)
    return killed


async def _read(killed: Killed, function: RunningFunction, has_begun: asyncio.Event) -> None:
    url, headers = f"{function.base_url}/api/chat", USER | invocation_headers(60)
    body = sdk_body(f"Tell {killed.chat_id}", chat_id=killed.chat_id)
    with contextlib.suppress(httpx2.RemoteProtocolError, httpx2.ReadError):
        async with (
            httpx2.AsyncClient(timeout=30, verify=False) as client,
            client.stream("POST", url, json=body, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                if found := re.search('"delta":"(.*?)"', line):
                    killed.came += found[1]
                    killed.came_at.append((time.monotonic(), len(killed.came)))
                    has_begun.set()
                assert '"type":"finish"' not in line


async def _recover(survivors: Survivors, killed: Killed, way: int) -> None:
    """Come when the lease has run out, one way or another; and go on with the conversation."""
    if way == 0:
        await survivors.read(killed)
    elif way == 1:
        await survivors.clean_up()
    elif way == 2:
        # The message again: that is answered anew.
        assert text_of(await survivors.say(killed, f"Tell {killed.chat_id}", 1)) == SHORT
    said = await survivors.say(killed, "And now?", 2)
    assert text_of(said) == SHORT


def _stored(database: psycopg.Connection, killed: Killed) -> str:
    """Return what is stored of an answer that was cut off, once; '' if nothing is."""
    found = database.execute(
        "SELECT content FROM chat_messages "
        "WHERE conversation_id = %s AND finish_reason = 'interrupted'",
        [killed.conversation_id],
    ).fetchall()
    assert len(found) <= 1
    stored = found[0][0] if found else ""
    assert WHOLE.startswith(stored)
    return stored
