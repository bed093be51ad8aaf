"""Stopping an answer: its text so far is stored, its readers see the stop, and the turn is free."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from pydantic import BaseModel

import lib.chat.stream
import lib.tools
from lib.answers.answer import running_answers
from lib.tools import ToolContext, tool, tools
from tests.chat.test_tools import check_provider_form, types_of
from tests.support.left_behind import leave_behind
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, headers_of, parts_of, problem_of, text_of
from tests.support.reading import path_of, resuming, sending, until, until_stored

HANGS = Reply(hangs_after=2)
ABORTED = 'data: {"type":"abort"}\n\ndata: [DONE]\n\n'


async def stop(parley: Parley, *, user: str | None = None, chat_id: str = CHAT_ID) -> None:
    """Stop the answer of a conversation; the response must be a 204."""
    response = await delete(parley, user=user, chat_id=chat_id)
    assert (response.status_code, response.content) == (204, b"")


async def delete(
    parley: Parley, *, user: str | None = None, chat_id: str = CHAT_ID
) -> httpx2.Response:
    """DELETE the stream of a conversation."""
    return await parley.client.delete(path_of(chat_id), headers=headers_of(user))


def answers(database: psycopg.Connection) -> list[tuple[str, str]]:
    """Return the text and finish reason of each stored answer."""
    return database.execute(
        "SELECT content, finish_reason FROM chat_messages WHERE role = 'assistant' ORDER BY id"
    ).fetchall()


@pytest.mark.usefixtures("anywhere")
async def test_a_stopped_answer_is_stored_as_far_as_it_came_and_ends_for_all_readers(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client)
    await first.has("how")
    second = resuming(parley.client)
    await second.has("how")
    started = time.monotonic()

    await stop(parley)

    took = time.monotonic() - started
    assert answers(database) == [("Hello, how", "aborted")]
    assert text_of(await parley.send("And now?", message_id="message-2")) == "Hello, how are you?"
    assert (await first.end()).text.endswith(ABORTED)
    # The second reader gets this answer, although another one has ended meanwhile.
    assert (await second.end()).text == (await first.end()).text
    await until(lambda: model.left == 1)
    # On a quiet machine half a second at most.
    assert took < 2
    assert [each["content"] for each in model.requests[1]["messages"][1:]] == [
        "Hello!", "Hello, how", "And now?",
    ]  # fmt: skip


@pytest.mark.usefixtures("anywhere")
async def test_a_stopped_answer_is_an_answer_but_is_not_resumed(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client)
    await first.has("how")

    await stop(parley)

    assert (await parley.get(path_of())).status_code == 204
    again = await parley.send("Hello!")
    assert text_of(again) == "Hello, how"
    assert again.text.endswith(ABORTED)
    assert len(model.requests) == 1
    [_, answer] = (await parley.history())["messages"]
    assert answer["metadata"]["finish_reason"] == "aborted"
    assert answer["id"] == parts_of(await first.end())[0]["messageId"]


@pytest.mark.usefixtures("anywhere")
async def test_an_answer_stopped_before_its_first_token_begins_and_ends_the_stream(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=3600)]
    first = sending(parley.client)
    await until(lambda: len(model.requests) == 1)

    await stop(parley)

    types = types_of(parts_of(await first.end()))
    assert types == ["start", "abort"]
    assert answers(database) == []
    assert text_of(await parley.send("Hello!")) == "Hello, how are you?"
    await until(lambda: model.left == 1)


@pytest.mark.usefixtures("anywhere")
async def test_a_json_answer_stopped_before_its_first_token_is_a_409(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=3600)]
    first = asyncio.create_task(parley.say("Hello!", conversation_id=CHAT_ID))
    await until(lambda: len(model.requests) == 1)

    await stop(parley)

    problem_of(await first, 409, "answer_stopped")
    assert answers(database) == []


async def test_a_stopped_json_answer_has_the_text_so_far(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [HANGS]
    first = asyncio.create_task(parley.say("Hello!", conversation_id=CHAT_ID))
    await until(lambda: any(each.has_begun for each in running_answers.values()))

    await stop(parley)

    assert (await first).status_code == 200
    assert "Hello, how".startswith((await first).json()["message"]["content"])
    assert (await first).json()["finish_reason"] == "aborted"


class Nothing(BaseModel):
    """Arguments of a tool that takes none."""


@pytest.fixture
def begun() -> Iterator[list[int]]:
    """Offer a tool that never ends, and return a list with one item for each of its runs."""
    before, noted = dict(tools()), list[int]()
    tools.cache_clear()

    async def dawdle(_nothing: Nothing, context: ToolContext) -> object:
        """Dawdle."""
        await context.begin()
        noted.append(1)
        await asyncio.sleep(3600)
        return {}

    tool(dawdle)
    yield noted
    lib.tools._tools.clear()
    lib.tools._tools.update(before)
    tools.cache_clear()


@pytest.mark.usefixtures("anywhere")
async def test_an_answer_stopped_in_a_tool_has_a_call_with_unknown_outcome(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, begun: list[int]
) -> None:
    model.replies = [calling(Called("dawdle"), text="Wait.")]
    first = sending(parley.client, user="ann")
    await until(lambda: begun == [1])

    await stop(parley, user="ann")

    parts = parts_of(await first.end())
    assert parts[-1]["type"] == "abort"
    [outcome] = [part for part in parts if part["type"] == "tool-output-error"]
    assert "not known" in outcome["errorText"]
    assert answers(database) == [("Wait.", "aborted")]
    assert text_of(await parley.send("Go on", message_id="message-2", user="ann"))
    sent = check_provider_form(model.requests[1])
    assert "not known what came of this" in json.dumps(sent)
    assert begun == [1]


async def test_a_second_stop_changes_nothing(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client)
    await first.has("how")

    await asyncio.gather(*(stop(parley) for _ in range(5)))
    await stop(parley)

    assert answers(database) == [("Hello, how", "aborted")]


async def test_an_answer_that_has_ended_cannot_be_stopped(
    parley: Parley, database: psycopg.Connection
) -> None:
    whole = await parley.send("Hello!")

    await stop(parley)

    assert answers(database) == [("Hello, how are you?", "stop")]
    assert (await parley.get(path_of())).text == whole.text
    # Nor does a stop reach the answer after it.
    assert text_of(await parley.send("And now?", message_id="message-2"))
    assert answers(database)[1] == ("Hello, how are you?", "stop")


async def test_a_stop_without_a_running_answer_does_nothing(parley: Parley) -> None:
    await stop(parley)
    await stop(parley, chat_id="short")
    await stop(parley, user="ann", chat_id=str(uuid4()))


@pytest.mark.usefixtures("anywhere")
async def test_a_stop_by_another_user_does_nothing(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(until=go, pauses_after=2)]
    first = sending(parley.client, user="ann")
    await first.has("how")
    conversation: dict[str, Any] = (await parley.history(user="ann"))["conversation"]

    await stop(parley, user="bob", chat_id=conversation["id"])
    await stop(parley, chat_id=conversation["id"])

    assert database.execute("SELECT stopped_turn_id FROM conversations").fetchall() == [(None,)]
    go.set()
    assert text_of(await first.end()) == "Hello, how are you?"


async def test_a_stop_recovers_the_turn_of_an_attempt_that_does_not_react(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.chat.stream, "STOP_PATIENCE_SECONDS", 0.5)
    model.replies = [HANGS]
    first = sending(parley.client)
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database, seconds_left=60)
    reading = resuming(parley.client)
    await reading.has("how")

    await stop(parley)

    assert answers(database) == [("Hello, how", "aborted")]
    assert (await reading.end()).text.endswith(ABORTED)
    assert (await parley.get(path_of())).status_code == 204
    assert text_of(await parley.send("And now?", message_id="message-2"))


async def test_a_stop_stores_the_answer_of_a_killed_function_as_interrupted(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client)
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database)
    started = time.monotonic()

    await stop(parley)

    assert time.monotonic() - started < lib.chat.stream.STOP_PATIENCE_SECONDS
    assert answers(database) == [("Hello, how", "interrupted")]
