"""A message that is sent again while another process answers it."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.support.left_behind import leave_behind
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, parts_of, text_of
from tests.support.reading import sending, until, until_stored

pytestmark = pytest.mark.usefixtures("elsewhere")
WHOLE = "Hello, how are you?"


@pytest.fixture
def go(model: ScriptedModel) -> asyncio.Event:
    """Return an event; the model is silent after two pieces until it is set."""
    event = asyncio.Event()
    model.replies = [Reply(until=event, pauses_after=2)]
    return event


async def test_a_message_sent_twice_gets_the_same_stream_from_another_process(
    parley: Parley, model: ScriptedModel, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("how")
    second = sending(parley.client)
    await second.has("how")

    go.set()

    assert (await second.end()).text == (await first.end()).text
    assert len(model.requests) == 1


async def test_a_message_sent_twice_gets_the_same_json_from_another_process(
    parley: Parley, model: ScriptedModel, go: asyncio.Event
) -> None:
    body = {"message_id": "message-1", "conversation_id": CHAT_ID}
    first = asyncio.create_task(parley.say("Hello!", **body))
    await until(lambda: len(model.requests) == 1)
    second = asyncio.create_task(parley.say("Hello!", **body))
    await asyncio.sleep(0.3)
    assert not second.done()

    go.set()

    assert (await second).json() == (await first).json()
    assert (await second).json()["message"]["content"] == WHOLE
    assert len(model.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_message_sent_twice_is_answered_when_the_first_answer_fails_before_its_first_part(
    parley: Parley, model: ScriptedModel, *, stream: bool
) -> None:
    fail = asyncio.Event()
    model.replies = [Reply(until=fail, status=500)]
    body: dict[str, Any] = {
        "message_id": "message-1",
        "conversation_id": CHAT_ID,
        "stream": stream,
    }
    first = asyncio.create_task(parley.say("Hello!", **body))
    await until(lambda: len(model.requests) == 1)
    second = asyncio.create_task(parley.say("Hello!", **body))
    await asyncio.sleep(0.3)

    fail.set()

    assert (await first).status_code == 502
    response = await second
    text = text_of(response) if stream else response.json()["message"]["content"]
    assert text == WHOLE
    assert await parley.said() == ["Hello!", WHOLE]


async def test_of_several_waiting_requests_one_answers_when_the_first_answer_fails(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    fail = asyncio.Event()
    model.replies = [Reply(until=fail, status=500)]
    first = sending(parley.client)
    await until(lambda: len(model.requests) == 1)
    others = [sending(parley.client) for _ in range(4)]
    await asyncio.sleep(0.3)

    fail.set()

    responses = [await reading.end() for reading in others]
    assert [text_of(response) for response in responses] == [WHOLE] * 4
    assert len({parts_of(response)[0]["messageId"] for response in responses}) == 1
    assert len(model.requests) == 2
    await first.leave()
    stored = database.execute("SELECT count(*) FROM chat_messages WHERE role = 'assistant'")
    assert stored.fetchone() == (1,)


async def test_a_stream_from_another_function_ends_in_an_error_when_that_function_dies(
    parley: Parley, database: psycopg.Connection, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("how")
    second = sending(parley.client)
    await second.has("how")
    await until_stored(database, "how")

    leave_behind(database)

    assert parts_of(await second.end())[-1]["type"] == "error"
    assert not go.is_set()
    assert text_of(await parley.send("Hello!")) == WHOLE


async def test_a_waiting_json_request_makes_the_answer_when_the_other_function_dies(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("how")
    body = {"message_id": "message-1", "conversation_id": CHAT_ID}
    second = asyncio.create_task(parley.say("Hello!", **body))
    await until_stored(database, "how")
    await asyncio.sleep(0.2)

    leave_behind(database)

    assert (await second).json()["message"]["content"] == WHOLE
    assert not go.is_set()
    assert len(model.requests) == 2
    assert await parley.said() == ["Hello!", WHOLE]
