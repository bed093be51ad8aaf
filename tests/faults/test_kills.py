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

from lib.answers._batches import TICK_SECONDS, UNFOLLOWED_SECONDS
from lib.conversations.parts import Reasoning, Text
from lib.conversations.steps import StepColumns, steps_of
from lib.http.ids import conversation_id_of
from lib.identity.callers import Caller
from lib.identity.file_links import unsigned_link
from tests.node.sdk import StreamReader, seen_by
from tests.support.images import data_url, png_of_bytes
from tests.support.model_server import Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import CRON_SECRET, headers_of, sdk_body, text_of
from tests.support.reading import path_of, reached, until
from tests.support.runtime import RunningFunction, invocation_headers, start_function
from tests.support.transports import ResendingTransport

KILLS, SEED = 50, 6
# The number of functions that run at a time.
AT_ONCE = 5
# How many pieces of thoughts and texts come at most before the function is killed; and before every
# second one is: those of the first two steps and of the thoughts of the third.
MOST_PIECES, FIRST_PIECES = 60, 18
# The longest time from the last of them until the kill.
LONGEST_SECONDS = 0.1
# For one statement on a busy machine. (0.05 s on a quiet one.)
SLACK_SECONDS = 0.7
FIRST_THOUGHTS = tuple(f"first{number} " for number in range(5))
SECOND_THOUGHTS = tuple(f"second{number} " for number in range(5))
REMARK = ("Let ", "me ", "note it. ")
THIRD_THOUGHTS = tuple(f"third{number} " for number in range(5))
PIECES = tuple(f"word{number} " for number in range(1000))
WHOLE = "".join((*FIRST_THOUGHTS, *SECOND_THOUGHTS, *REMARK, *THIRD_THOUGHTS, *PIECES))
PICTURE = png_of_bytes(30_000)
SHORT = "".join(Reply().pieces)
USER = headers_of("ann")


def thinking(*thoughts: str) -> list[dict[str, Any]]:
    """Return the chunks of a thought."""
    return [chunk({"reasoning_content": thought}) for thought in thoughts]


def saying(*pieces: str) -> list[dict[str, Any]]:
    """Return the chunks of a text."""
    return [chunk({"content": piece}) for piece in pieces]


def citing(number: int) -> dict[str, Any]:
    """Return the chunk of a source."""
    cited = {"url": f"https://example.com/{number}", "title": f"Page {number}"}
    place = {"start_index": 0, "end_index": 5}
    return chunk({"annotations": [{"type": "url_citation", "url_citation": cited | place}]})


def drawing() -> dict[str, Any]:
    """Return the chunk of a picture."""
    return chunk({"images": [{"image_url": {"url": data_url("image/png", PICTURE)}}]})


def step_of(number: int, question: str) -> Reply:
    """Return a step of a long answer: two look up, draw and note, the third has no end.

    The second takes longer than the time between two batches, so that some answers end in it.
    """
    if number == 0:
        chunks = [*thinking(*FIRST_THOUGHTS), *(calling(Called("list_tasks")).chunks or [])]
    elif number == 1:
        note = calling(Called("add_task", {"title": question}, "call_2")).chunks or []
        chunks = [*thinking(*SECOND_THOUGHTS), drawing(), *saying(*REMARK), citing(1), *note]
    else:
        words = saying(*PIECES)
        chunks = [*thinking(*THIRD_THOUGHTS), *words[:5], citing(2), *words[5:]]
    slowly = 1.5 * UNFOLLOWED_SECONDS / len(chunks)
    return Reply(chunks=chunks, seconds_between=slowly if number == 1 else 0.025)


@dataclass(slots=True)
class Killed:
    """An answer whose function was killed.

    Attributes:
        chat_id: the client's id of the conversation.
        came: the thoughts and texts that the client got.
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
    def question(self) -> str:
        """Its question."""
        return f"Tell {self.chat_id}"

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
    history: RunningFunction
    files: RunningFunction
    client: httpx2.AsyncClient

    async def say(self, killed: Killed, text: str, number: int) -> httpx2.Response:
        """Send a message to the conversation of a killed function."""
        body = sdk_body(text, chat_id=killed.chat_id, message_id=f"message-{number}")
        url, headers = f"{self.chat.base_url}/api/chat", USER | invocation_headers(30)
        return await self.client.post(url, json=body, headers=headers)

    async def read(self, killed: Killed) -> bytes | None:
        """Resume the answer of a killed function; None: it has left nothing to read."""
        url, headers = self.stream.base_url + path_of(killed.chat_id), USER | invocation_headers(30)
        response = await self.client.get(url, headers=headers)
        # 204 where the function died before its first batch.
        assert response.status_code in {200, 204}
        assert response.status_code == 204 or '"type":"error"' in response.text
        return response.content or None

    async def answer_in_history(self, killed: Killed) -> dict[str, Any] | None:
        """Return the answer of a killed function as history shows it; None: there is none."""
        response = await self.client.get(
            f"{self.history.base_url}/api/history",
            params={"conversation_id": killed.chat_id},
            headers=USER | invocation_headers(30),
        )
        answers = [each for each in response.json()["messages"] if each["role"] == "assistant"]
        return answers[0] if answers else None

    async def open(self, link: str) -> bytes:
        """Return a file by its link, without a token."""
        response = await self.client.get(self.files.base_url + link, headers=invocation_headers(30))
        assert response.status_code == 200, response.text
        return response.content

    async def clean_up(self) -> None:
        """Run the cron."""
        headers = {"authorization": f"Bearer {CRON_SECRET}"} | invocation_headers(30)
        url = f"{self.cron.base_url}/api/cron/cleanup"
        assert (await self.client.get(url, headers=headers)).status_code == 200


@pytest.fixture
async def survivors(environment: dict[str, str]) -> AsyncGenerator[Survivors]:
    """Return the functions that are not killed."""
    paths = ("chat.py", "chat/[id]/stream.py", "cron/cleanup.py", "history.py", "files.py")
    functions = await asyncio.gather(
        *(asyncio.to_thread(start_function, f"api/{path}", environment) for path in paths)
    )
    async with AsyncExitStack() as stack:
        for function in functions:
            stack.push_async_callback(asyncio.to_thread, function.stop)
        client = httpx2.AsyncClient(timeout=60, transport=ResendingTransport(verify=False))
        chat, stream, cron, history, files = functions
        client = await stack.enter_async_context(client)
        yield Survivors(chat, stream, cron, history, files, client)


# Each kill takes the start of a function, and a busy machine takes ten times as long for one.
@pytest.mark.timeout(900)
async def test_50_answers_of_killed_functions_lose_a_batch_at_most_and_are_the_same_for_all_readers(
    survivors: Survivors,
    environment: dict[str, str],
    model: ScriptedModel,
    database: psycopg.Connection,
) -> None:
    dead: set[str] = set()

    def choose(body: dict[str, Any]) -> Reply:
        """Reply without an end to the first message of each function, and briefly to others."""
        roles = [message["role"] for message in body["messages"]]
        asked_at = len(roles) - 1 - roles[::-1].index("user")
        # A question that got no answer stands in one message with the question after it.
        question = body["messages"][asked_at]["content"].rpartition("\n\n")[2]
        is_long = question.startswith("Tell") and question not in dead
        return step_of(roles[asked_at:].count("assistant"), question) if is_long else Reply()

    model.choose = choose
    chance = random.Random(SEED)
    waiting = [
        (
            f"conversation-{number:04}",
            chance.randint(1, FIRST_PIECES if number % 2 else MOST_PIECES),
            chance.uniform(0, LONGEST_SECONDS),
        )
        for number in range(KILLS)
    ]
    killed: list[Killed] = []
    recovering: list[asyncio.Task[Seen | None]] = []

    async def kill_some() -> None:
        while waiting:
            one = await _kill_one(*waiting.pop(), environment)
            dead.add(one.question)
            killed.append(one)
            # Its last batch, which may be on its way yet, prolongs the lease.
            await until(partial(_are_closed, database, one.ports))
            # Instead of a wait for the end of the lease.
            database.execute(
                "UPDATE conversations SET turn_expires_at = now() WHERE id = %s",
                [one.conversation_id],
            )
            recovering.append(asyncio.create_task(_recover(survivors, one, len(recovering) % 10)))

    await asyncio.gather(*(kill_some() for _ in range(AT_ONCE)))
    seen = [each for each in await asyncio.gather(*recovering) if each is not None]

    # Nothing is stored of a function that died while its model had only thought.
    stored = [(answer, _stored(database, answer)) for answer in killed]
    lost = sorted(
        answer.lost_seconds(text)
        for answer, text in stored
        if text or len(answer.came) > len("".join(FIRST_THOUGHTS))
    )
    assert len(killed) == KILLS
    assert lost[len(lost) // 2] < UNFOLLOWED_SECONDS + TICK_SECONDS
    assert lost[-1] < UNFOLLOWED_SECONDS + TICK_SECONDS + SLACK_SECONDS
    # No batch and no lease is left behind.
    assert database.execute(
        "SELECT (SELECT count(*) FROM stream_batches), "
        "(SELECT count(*) FROM conversations WHERE turn_id IS NOT NULL)"
    ).fetchone() == (0, 0)
    _assert_same_parts(seen)
    links = [
        part["url"] for each in seen for part in each.answer["parts"] if part["type"] == "file"
    ]
    assert links
    for link in links:
        assert await survivors.open(link) == PICTURE


async def _kill_one(
    chat_id: str, piece_count: int, seconds: float, environment: dict[str, str]
) -> Killed:
    """Start a function, let it answer, and kill it a while after so many pieces."""
    function = await asyncio.to_thread(start_function, "api/chat.py", environment)
    killed, has_come = Killed(chat_id), asyncio.Event()
    reading = asyncio.create_task(_read(killed, function, piece_count, has_come))
    try:
        # A cold start, next to others on a busy machine.
        async with asyncio.timeout(120):
            await reached(has_come, reading)
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


async def _read(
    killed: Killed, function: RunningFunction, piece_count: int, has_come: asyncio.Event
) -> str:
    """Read until the function dies; return the last line that is not empty."""
    last = ""
    url, headers = f"{function.base_url}/api/chat", USER | invocation_headers(60)
    body = sdk_body(killed.question, chat_id=killed.chat_id)
    with contextlib.suppress(httpx2.RemoteProtocolError, httpx2.ReadError):
        async with (
            httpx2.AsyncClient(timeout=120, verify=False) as client,
            client.stream("POST", url, json=body, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                last = line or last
                if found := re.search('"delta":"(.*?)"', line):
                    killed.came += found[1]
                    killed.came_at.append((time.monotonic(), len(killed.came)))
                    if len(killed.came_at) >= piece_count:
                        has_come.set()
                assert '"type":"finish"' not in line
    return last


@dataclass(frozen=True, slots=True)
class Seen:
    """A recovered answer as two readers see it.

    Attributes:
        resumed: the bytes of its resumed stream.
        answer: the message of history.
    """

    resumed: bytes
    answer: dict[str, Any]


async def _recover(survivors: Survivors, killed: Killed, way: int) -> Seen | None:
    """Recover the answer in one of four ways, and go on with the conversation."""
    seen = None
    if way != 0:
        # Or the next message recovers it.
        if way in {1, 2, 3}:
            await survivors.clean_up()
        resumed = await survivors.read(killed)
        answer = await survivors.answer_in_history(killed)
        assert resumed is not None or answer is None
        seen = Seen(resumed, answer) if resumed and answer else None
    if way in {4, 5, 6}:
        # The same message again, which gets a new answer.
        assert text_of(await survivors.say(killed, killed.question, 1)).endswith(SHORT)
    response = await survivors.say(killed, "And now?", 2)
    # Its log tells why, where the response cannot.
    assert response.status_code == 200, (response.text, survivors.chat.log_text()[-9000:])
    assert text_of(response) == SHORT, response.text
    return seen


def _assert_same_parts(seen: list[Seen]) -> None:
    """Check that useChat of each version holds of each resumed stream what history shows."""
    with StreamReader() as sdk:
        results = sdk.read([each.resumed for each in seen], [each.answer for each in seen])
    for version, read in results.items():
        for each, result in zip(seen, read, strict=True):
            shown = _unsigned(seen_by(version, each.answer["parts"]))
            assert _unsigned(result["message"]["parts"]) == shown
            assert result["message"]["id"] == each.answer["id"]
    # The functions died, or had stored their last batch, in each step.
    steps = [[part["type"] for part in each.answer["parts"]].count("step-start") for each in seen]
    assert set(steps) == {1, 2, 3}


def _unsigned(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return parts without the signatures of their links, which change with the hour."""
    return [
        part | ({"url": unsigned_link(part["url"])} if part["type"] == "file" else {})
        for part in parts
    ]


def _are_closed(database: psycopg.Connection, ports: list[int]) -> bool:
    """Tell whether Postgres has no session left of a function that was killed."""
    sessions = "SELECT FROM pg_stat_activity WHERE client_port = ANY(%s) LIMIT 1"
    return database.execute(sessions, [ports]).fetchone() is None


def _stored(database: psycopg.Connection, killed: Killed) -> str:
    """Return the stored thoughts and texts of the interrupted answer; '' if there is none."""
    rows = database.execute(
        "SELECT content, tool_calls, steps FROM chat_messages "
        "WHERE conversation_id = %s AND finish_reason = 'interrupted'",
        [killed.conversation_id],
    ).fetchall()
    assert len(rows) <= 1
    parts = [part for row in rows for step in steps_of(StepColumns(*row)) for part in step.parts]
    stored = "".join(part.text for part in parts if isinstance(part, Text | Reasoning))
    assert WHOLE.startswith(stored)
    return stored
