"""Functions are killed during an answer, at random moments: how much of the answer is lost?"""

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
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import psutil
import psycopg
import pytest

from lib.answers._batches import BATCH_SECONDS, TICK_SECONDS
from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CRON_SECRET, headers_of, sdk_body, text_of
from tests.support.reading import path_of, until
from tests.support.runtime import RunningFunction, invocation_headers, start_function

KILLS, SEED = 50, 6
# The number of functions that run at a time.
AT_ONCE = 5
# The longest time from the first token until the function is killed.
LONGEST_SECONDS = 1.5
# For one statement on a busy machine. (0.05 s on a quiet one.)
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
        chat_id: the client's id of the conversation.
        came: the text that the client got.
        came_at: for each piece, its time, and the number of characters up to its end.
        ports: of its connections.
        killed_at: time of the kill, like all times on the clock of `time.monotonic()`, in seconds.
    """

    chat_id: str
    came: str = ""
    came_at: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    ports: list[int] = field(default_factory=list[int])
    killed_at: float = 0.0

    @property
    def conversation_id(self) -> UUID:
        """Id of the conversation in the database."""
        return conversation_id_of(self.chat_id, Caller("ann"))

    def lost_seconds(self, stored: str) -> float:
        """Return how long before the kill the first lost piece had come; 0: none is lost."""
        lost = [at for at, characters in self.came_at if characters > len(stored)]
        return max(0.0, self.killed_at - lost[0]) if lost else 0.0


@dataclass(frozen=True, slots=True)
class Survivors:
    """Functions that are not killed, and a client."""

    chat: RunningFunction
    stream: RunningFunction
    cron: RunningFunction
    client: httpx2.AsyncClient

    async def say(self, killed: Killed, text: str, number: int) -> httpx2.Response:
        """Send a message to the conversation of a killed function."""
        body = sdk_body(text, chat_id=killed.chat_id, message_id=f"message-{number}")
        url, headers = f"{self.chat.base_url}/api/chat", USER | invocation_headers(30)
        return await self.client.post(url, json=body, headers=headers)

    async def read(self, killed: Killed) -> None:
        """Resume the answer of a killed function."""
        url, headers = self.stream.base_url + path_of(killed.chat_id), USER | invocation_headers(30)
        response = await self.client.get(url, headers=headers)
        # 204 where the function died before its first batch.
        assert response.status_code in {200, 204}
        assert response.status_code == 204 or '"type":"error"' in response.text

    async def clean_up(self) -> None:
        """Run the cron."""
        headers = {"authorization": f"Bearer {CRON_SECRET}"} | invocation_headers(30)
        url = f"{self.cron.base_url}/api/cron/cleanup"
        assert (await self.client.get(url, headers=headers)).status_code == 200


@pytest.fixture
async def survivors(environment: dict[str, str]) -> AsyncGenerator[Survivors]:
    """Return the functions that are not killed."""
    files = ("api/chat.py", "api/chat/[id]/stream.py", "api/cron/cleanup.py")
    chat, stream, cron = await asyncio.gather(
        *(asyncio.to_thread(start_function, file, environment) for file in files)
    )
    async with AsyncExitStack() as stack:
        for function in (chat, stream, cron):
            stack.push_async_callback(asyncio.to_thread, function.stop)
        client = httpx2.AsyncClient(timeout=60, verify=False)
        yield Survivors(chat, stream, cron, await stack.enter_async_context(client))


# Each kill takes the start of a function, and a busy machine takes ten times as long for one.
@pytest.mark.timeout(900)
async def test_50_answers_of_killed_functions_lose_no_more_than_a_batch_each(
    survivors: Survivors,
    environment: dict[str, str],
    model: ScriptedModel,
    database: psycopg.Connection,
) -> None:
    answered: set[str] = set()

    def choose(body: dict[str, Any]) -> Reply:
        """Reply without an end to the first message of each function, and briefly to others."""
        # A question that got no answer stands in one message with the question after it.
        question = body["messages"][-1]["content"].rpartition("\n\n")[2]
        is_first = question.startswith("Tell") and question not in answered
        answered.add(question)
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
            one = await _kill_one(chat_id, seconds, environment)
            killed.append(one)
            # Its last batch, which may be on its way yet, prolongs the lease.
            await until(partial(_are_closed, database, one.ports))
            # Instead of a wait for the end of the lease.
            database.execute(
                "UPDATE conversations SET turn_expires_at = now() WHERE id = %s",
                [one.conversation_id],
            )
            recovering.append(asyncio.create_task(_recover(survivors, one, len(recovering) % 4)))

    await asyncio.gather(*(kill_some() for _ in range(AT_ONCE)))
    await asyncio.gather(*recovering)

    lost = sorted(answer.lost_seconds(_stored(database, answer)) for answer in killed)
    assert len(lost) == KILLS
    assert lost[KILLS // 2] < BATCH_SECONDS + TICK_SECONDS
    assert lost[-1] < BATCH_SECONDS + TICK_SECONDS + SLACK_SECONDS
    # No batch and no lease is left behind.
    assert database.execute(
        "SELECT (SELECT count(*) FROM stream_batches), "
        "(SELECT count(*) FROM conversations WHERE turn_id IS NOT NULL)"
    ).fetchone() == (0, 0)


async def _kill_one(chat_id: str, seconds: float, environment: dict[str, str]) -> Killed:
    """Start a function, let it answer, and kill it after a while."""
    function = await asyncio.to_thread(start_function, "api/chat.py", environment)
    killed, has_begun = Killed(chat_id), asyncio.Event()
    reading = asyncio.create_task(_read(killed, function, has_begun))
    try:
        async with asyncio.timeout(30):
            await has_begun.wait()
        await asyncio.sleep(seconds)
        connections = psutil.Process(function.process_id).net_connections("tcp")
        killed.ports = [connection.laddr.port for connection in connections]
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
    """Recover the answer in one of four ways, and go on with the conversation."""
    if way == 0:
        await survivors.read(killed)
    elif way == 1:
        await survivors.clean_up()
    elif way == 2:
        # The same message again, which gets a new answer.
        assert text_of(await survivors.say(killed, f"Tell {killed.chat_id}", 1)) == SHORT
    response = await survivors.say(killed, "And now?", 2)
    assert text_of(response) == SHORT


def _are_closed(database: psycopg.Connection, ports: list[int]) -> bool:
    """Tell whether Postgres has no session left of a function that was killed."""
    sessions = "SELECT FROM pg_stat_activity WHERE client_port = ANY(%s) LIMIT 1"
    return database.execute(sessions, [ports]).fetchone() is None


def _stored(database: psycopg.Connection, killed: Killed) -> str:
    """Return the stored text of the interrupted answer; '' if there is none."""
    rows = database.execute(
        "SELECT content FROM chat_messages "
        "WHERE conversation_id = %s AND finish_reason = 'interrupted'",
        [killed.conversation_id],
    ).fetchall()
    assert len(rows) <= 1
    stored = rows[0][0] if rows else ""
    assert WHOLE.startswith(stored)
    return stored
