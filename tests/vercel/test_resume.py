"""An answer is made in one function process, and followed, stopped and recovered from another."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx2
import psycopg
import pytest

from lib.chat.stream import STOP_PATIENCE_SECONDS
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, headers_of, parts_of, problem_of, sdk_body, text_of
from tests.support.reading import Reading, path_of, resuming, sending, until, until_stored
from tests.support.runtime import RunningFunction, invocation_headers, start_function
from tests.support.transports import ResendingTransport

PIECES = tuple(f"word{number} " for number in range(10))
WHOLE = "".join(PIECES)
HANGS = Reply(pieces=PIECES, hangs_after=5)
SAID = "".join(PIECES[:5])
ABORTED = 'data: {"type":"abort"}\n\ndata: [DONE]\n\n'


@dataclass(frozen=True, slots=True)
class Processes:
    """A function that answers, another one like it, and the one that resumes: three processes."""

    chat: RunningFunction
    other: RunningFunction
    stream: RunningFunction
    client: httpx2.AsyncClient

    def send(self, text: str = "Hello!", *, elsewhere: bool = False, number: int = 1) -> Reading:
        """Say something, and read on."""
        base_url = (self.other if elsewhere else self.chat).base_url
        headers = invocation_headers(30)
        message_id = f"message-{number}"
        return sending(
            self.client, text, base_url=base_url, message_id=message_id, user="ann", headers=headers
        )

    def resume(self, seconds: float = 30, query: str = "") -> Reading:
        """Come back, and read on."""
        headers = invocation_headers(seconds)
        base_url = self.stream.base_url
        return resuming(self.client, query, base_url=base_url, user="ann", headers=headers)

    async def stop(self) -> None:
        """Stop the answer."""
        url = self.stream.base_url + path_of()
        headers = headers_of("ann") | invocation_headers(30)
        response = await self.client.delete(url, headers=headers)
        assert (response.status_code, response.content) == (204, b"")


@pytest.fixture
async def processes(environment: dict[str, str]) -> AsyncGenerator[Processes]:
    """Return the functions in the real runtime, and a client."""
    chat, other, stream = await asyncio.gather(
        asyncio.to_thread(start_function, "api/chat.py", environment),
        asyncio.to_thread(start_function, "api/chat.py", environment),
        asyncio.to_thread(start_function, "api/chat/[id]/stream.py", environment),
    )
    async with httpx2.AsyncClient(timeout=60, transport=ResendingTransport(verify=False)) as client:
        yield Processes(chat, other, stream, client)
    await asyncio.gather(*(asyncio.to_thread(each.stop) for each in (chat, other, stream)))


@pytest.fixture
def go(model: ScriptedModel) -> asyncio.Event:
    """Return what lets the model go on, which falls silent after five words."""
    event = asyncio.Event()
    model.default = Reply(pieces=PIECES, until=event, pauses_after=5)
    return event


async def test_other_processes_send_a_running_answer_byte_for_byte(
    processes: Processes, model: ScriptedModel, go: asyncio.Event
) -> None:
    model.title_reply = Reply(pieces=("A title",))
    model.replies = [calling(Called("add_task", {"title": "Buy milk"}), text="Let me see. ")]
    first = processes.send()
    await first.has("word4")
    # A repeated message, and several who come back, one of them for the rest alone.
    again = processes.send(elsewhere=True)
    readers = [processes.resume() for _ in range(3)]
    tail = processes.resume(query="?startIndex=7")
    for reader in (again, *readers, tail):
        await reader.has("word4")

    go.set()

    whole = await first.end()
    assert {"tool-output-available", "data-conversation", "finish"} <= {
        part["type"] for part in parts_of(whole)
    }
    assert [(await reader.end()).text for reader in (again, *readers)] == [whole.text] * 4
    assert whole.text.endswith((await tail.end()).text)
    assert len(model.requests) == 2
    # And when it has ended.
    assert (await processes.resume().end()).text == whole.text
    assert (await processes.resume(query="?startIndex=1000").end()).status_code == 204


async def test_a_reader_comes_back_when_its_own_function_must_end(
    processes: Processes, go: asyncio.Event
) -> None:
    first = processes.send()
    await first.has("word4")
    started = time.monotonic()

    # `WorkflowChatTransport` goes on from there.
    cut = await processes.resume(seconds=3).end()

    assert time.monotonic() - started < 3
    assert "still being made" in parts_of(cut)[-1]["errorText"]
    next_ = processes.resume()
    await next_.has("word4")
    go.set()
    assert (await next_.end()).text == (await first.end()).text


@pytest.mark.parametrize("is_silent", [False, True], ids=["while it speaks", "while it is silent"])
async def test_a_stop_from_another_process_takes_effect_at_once(
    processes: Processes, model: ScriptedModel, database: psycopg.Connection, *, is_silent: bool
) -> None:
    endless = Reply(pieces=PIECES * 100, seconds_between=0.05)
    model.replies = [HANGS if is_silent else endless]
    first = processes.send()
    await first.has("word4")
    reading = processes.resume()
    await reading.has("word4")
    started = time.monotonic()

    await processes.stop()

    took = time.monotonic() - started
    left = model.left
    following = processes.send("And now?", number=2)
    await following.has("Hello")
    # The model's request is closed, and the writer's stream ended, by then.
    assert left == 1
    whole = await first.end()
    assert whole.text.endswith(ABORTED)
    assert (await reading.end()).text == whole.text
    stored = database.execute(
        "SELECT content, finish_reason FROM chat_messages WHERE role = 'assistant' ORDER BY id"
    )
    assert stored.fetchone() == (text_of(whole), "aborted")
    assert text_of(await following.end()) == "Hello, how are you?"
    # Half a second on a quiet machine.
    assert took < 1.5


async def test_what_a_killed_function_has_said_comes_back_interrupted(
    processes: Processes, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = processes.send()
    await first.has("word4")
    await until_stored(database, "word4")
    reading = processes.resume()
    await reading.has("word4")

    processes.chat.kill()
    # Rather than to wait for the rest of its half minute.
    database.execute("UPDATE conversations SET turn_expires_at = now() + interval '0.5 seconds'")

    response = await reading.end()
    came = (await first.end()).text
    assert [part["type"] for part in parts_of(response)][-1] == "error"
    assert text_of(response) == SAID
    assert response.text.startswith(came)
    stored = "SELECT content, finish_reason FROM chat_messages WHERE role = 'assistant'"
    assert database.execute(stored).fetchall() == [(SAID, "interrupted")]
    following = processes.send("And now?", elsewhere=True, number=2)
    assert text_of(await following.end()) == "Hello, how are you?"
    assert [each["content"] for each in model.requests[1]["messages"][1:]] == [
        "Hello!", SAID, "And now?",
    ]  # fmt: skip


async def test_a_stop_frees_the_turn_of_a_killed_function_in_five_seconds(
    processes: Processes, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = processes.send()
    await first.has("word4")
    await until_stored(database, "word4")
    processes.chat.kill()
    started = time.monotonic()

    await processes.stop()

    took = time.monotonic() - started
    assert STOP_PATIENCE_SECONDS <= took < STOP_PATIENCE_SECONDS + 2
    stored = "SELECT content, finish_reason FROM chat_messages WHERE role = 'assistant'"
    assert database.execute(stored).fetchall() == [(SAID, "aborted")]
    following = processes.send("And now?", elsewhere=True, number=2)
    assert text_of(await following.end()) == "Hello, how are you?"


async def test_a_repeated_message_is_answered_when_the_other_process_is_killed_before_its_answer(
    processes: Processes, model: ScriptedModel, database: psycopg.Connection
) -> None:
    waits = asyncio.Event()
    model.replies = [Reply(until=waits)]
    first = processes.send()
    while not model.requests:  # noqa: ASYNC110 (a test's own pace)
        await asyncio.sleep(0.01)
    url, body = f"{processes.other.base_url}/api/chat", sdk_body("Hello!")
    again = asyncio.create_task(
        processes.client.post(url, json=body, headers=headers_of("ann") | invocation_headers(30))
    )
    await until(lambda: _is_followed(database))

    processes.chat.kill()
    database.execute("UPDATE conversations SET turn_expires_at = now()")

    assert text_of(await again) == "Hello, how are you?"
    await first.leave()


@pytest.mark.parametrize("wants_stream", [True, False])
async def test_a_request_that_follows_an_answer_stopped_before_its_first_token_does_not_ask_again(
    processes: Processes, model: ScriptedModel, database: psycopg.Connection, *, wants_stream: bool
) -> None:
    model.replies = [Reply(hangs_after=0)]
    first = processes.send()
    await until(lambda: len(model.requests) == 1)
    plain = {"conversation_id": CHAT_ID, "message": "Hello!", "message_id": "message-1"}
    body = sdk_body("Hello!") if wants_stream else plain
    url = f"{processes.other.base_url}/api/chat"
    headers = headers_of("ann") | invocation_headers(30)
    attached = asyncio.create_task(processes.client.post(url, json=body, headers=headers))
    await until(lambda: _is_followed(database))

    await processes.stop()

    response = await attached
    if wants_stream:
        assert response.text.endswith(ABORTED)
    else:
        problem_of(response, 409, "answer_stopped")
    assert len(model.requests) == 1
    await first.end()


def _is_followed(database: psycopg.Connection) -> bool:
    """Tell whether a process has read the stream of an answer that another process makes."""
    # Of a statement, Postgres shows its first kilobyte, and those of other tests' databases.
    reading = """
        SELECT FROM pg_stat_activity
        WHERE query LIKE '%attempt AS (%' AND datname = current_database()
            AND pid <> pg_backend_pid()
    """
    return bool(database.execute(reading).fetchall())
