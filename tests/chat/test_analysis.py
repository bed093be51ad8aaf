"""The analysis of a question: beside the answer, never in its way, rather late than never."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from starlette.types import Receive, Scope, Send

import lib.answers._analysis
import lib.answers.begin
import lib.chat.post
from tests.support.analyses import (
    COLUMNS,
    HANGING,
    NOTHING,
    SAID,
    SLOW,
    STORED,
    all_done,
    left,
    saying,
    stored_in,
)
from tests.support.model_server import ANALYSIS_MODEL, Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, text_of

pytestmark = pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)


async def test_what_the_analysis_says_is_stored_with_the_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default, model.analysis_reply = SLOW, saying()

    message = (await parley.say("Hello!", conversation_id=CHAT_ID)).json()["message"]

    assert tuple(message[name] for name in COLUMNS.split(", ")) == STORED
    assert (await parley.history())["messages"][1] == message
    assert stored_in(database) == [STORED]
    question = f"SELECT {COLUMNS} FROM chat_messages WHERE role = 'user'"
    assert database.execute(question).fetchall() == [NOTHING]


async def test_the_model_is_asked_once_by_a_schema_that_each_provider_takes(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("What do I need for a soup?", user="ann")

    [asked] = model.analysis_requests
    assert asked["messages"] == [
        {"role": "system", "content": lib.answers._analysis.PROMPT},
        {"role": "user", "content": "What do I need for a soup?"},
    ]
    assert "tools" not in asked
    assert asked["response_format"]["type"] == "json_schema"
    wanted = asked["response_format"]["json_schema"]
    assert wanted["strict"] is True
    schema = wanted["schema"]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"]) == set(SAID)
    # Not all providers take a limit, of a number or of a text, and refuse the request for it.
    keywords = {name for each in schema["properties"].values() for name in each}
    assert keywords <= {"type", "enum", "title"}


@pytest.mark.environment(OPENAI_ANALYSIS_MODEL=None)
async def test_without_a_model_for_it_nothing_is_asked_orstored_in(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")

    assert (len(model.requests), model.analysis_requests) == (1, [])
    assert stored_in(database) == [NOTHING]


async def test_what_the_request_chose_stays_and_does_not_come_from_the_analysis(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default, model.analysis_reply = SLOW, saying()

    await parley.say("Hello!", tone="technical", behavior="auto")

    assert stored_in(database) == [("cooking", "technical", *STORED[2:])]


@pytest.mark.parametrize("user", [None, "ann"])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_it_says_after_the_answer_is_stored_then_and_the_function_stays_until_then(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    *,
    stream: bool,
) -> None:
    returned = _returned(monkeypatch)
    said = asyncio.Event()
    model.analysis_reply = saying(until=said)

    response = await parley.say("Hello!", user=user, stream=stream, tone="technical")

    assert response.status_code == 200
    assert "Hello" in response.text
    assert stored_in(database) == [(None, "technical", None, None, None, False)]
    assert not returned.is_set()
    said.set()
    await asyncio.wait_for(returned.wait(), 20)
    assert stored_in(database) == [("cooking", "technical", *STORED[2:])]


@pytest.mark.parametrize("reply", HANGING)
async def test_one_that_never_comes_delays_neither_the_answer_nor_the_next_one(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.analysis_reply = reply

    async with asyncio.timeout(20):
        response = await parley.send("Hello!")
        model.analysis_reply = saying()
        again = await parley.send("And you?", message_id="message-2")
        await lib.answers.begin.interrupt_answers()

    assert text_of(response) == text_of(again) == "Hello, how are you?"
    assert stored_in(database)[0] == NOTHING


@pytest.mark.parametrize("reply", HANGING)
async def test_it_is_waited_for_until_the_deadline_and_no_longer(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    returned = _returned(monkeypatch)
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    monkeypatch.setattr("vercel_runtime.deadline.get_deadline", lambda: deadline)
    model.analysis_reply = reply

    response = await parley.send("Hello!")
    is_early = not returned.is_set()
    await asyncio.wait_for(returned.wait(), 20)

    assert text_of(response) == "Hello, how are you?"
    assert is_early
    assert datetime.now(UTC) < deadline
    await left(model)


async def test_a_process_that_ends_waits_for_none(parley: Parley, model: ScriptedModel) -> None:
    model.analysis_reply = HANGING[0]
    await parley.send("Hello!")

    async with asyncio.timeout(20):
        await lib.answers.begin.interrupt_answers()

    await left(model)
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


@pytest.mark.parametrize(
    ("context", "stored"),
    [
        ("x" * 101, "x" * 100),
        (" cooking\n soup ", "cooking soup"),
        ("a\0b\ud800", "ab\ufffd"),
        ("😀" * 100, "😀" * 100),
    ],
    ids=ascii,
)
async def test_what_the_question_is_about_is_cut_to_what_isstored_in(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, context: str, stored: str
) -> None:
    model.analysis_reply = saying({"context_type": context})

    await parley.send("Hello!")
    await all_done()

    assert stored_in(database) == [(stored, *STORED[1:])]


async def test_an_answer_that_is_made_again_meanwhile_is_not_described(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    said = asyncio.Event()
    model.analysis_reply = saying(until=said)
    await parley.send("Hello!")
    model.analysis_reply = Reply(status=404)

    await parley.send("Hello!", trigger="regenerate-message")
    said.set()
    await all_done()

    assert len(model.analysis_requests) == 2
    assert stored_in(database) == [NOTHING, NOTHING]


async def test_a_replay_asks_for_none(parley: Parley, model: ScriptedModel) -> None:
    await parley.send("Hello!")
    await parley.send("Hello!")

    assert len(model.analysis_requests) == 1


def _returned(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set when the function has returned, after which it may freeze."""
    event = asyncio.Event()
    for response in (lib.chat.post.AnswerStream, lib.chat.post.Lasting):
        original = response.__call__

        async def recorded(
            self: Any, scope: Scope, receive: Receive, send: Send, original: Any = original
        ) -> None:
            await original(self, scope, receive, send)
            event.set()

        monkeypatch.setattr(response, "__call__", recorded)
    return event
