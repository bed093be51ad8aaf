"""The analysis of a question runs beside the answer, never delays it, and may be stored later."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from starlette.types import Receive, Scope, Send

import lib.answers._analysis
import lib.answers.begin
import lib.chat.post
from tests.support.analyses import (
    ANALYSIS,
    COLUMNS,
    HANGING,
    NOTHING,
    SLOW,
    STORED,
    analysis_reply,
    stored_analyses,
    until_answers_done,
    until_request_closed,
)
from tests.support.model_server import ANALYSIS_MODEL, Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, text_of

pytestmark = pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)


async def test_an_analysis_that_is_ready_is_stored_with_its_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default, model.analysis_reply = SLOW, analysis_reply()

    message = (await parley.say("Hello!", conversation_id=CHAT_ID)).json()["message"]

    assert tuple(message[name] for name in COLUMNS.split(", ")) == STORED
    assert (await parley.history())["messages"][1] == message
    assert stored_analyses(database) == [STORED]
    question = f"SELECT {COLUMNS} FROM chat_messages WHERE role = 'user'"
    assert database.execute(question).fetchall() == [NOTHING]


async def test_an_analysis_in_a_block_of_code_is_read(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default = SLOW
    model.analysis_reply = Reply(pieces=("```json\n", json.dumps(ANALYSIS), "\n```"))

    await parley.say("Hello!")

    assert stored_analyses(database) == [STORED]


async def test_an_analysis_is_requested_when_the_answer_has_begun(
    parley: Parley, model: ScriptedModel
) -> None:
    asked_before_its_text: list[int] = []
    go = asyncio.Event()
    model.replies = [Reply(until=go)]
    model.analysis_reply = analysis_reply()

    sending = asyncio.create_task(parley.send("Hello!"))
    async with asyncio.timeout(20):
        while not model.requests:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)
        # A request that was sent with the answer's would be here by now.
        await asyncio.sleep(0.2)
        asked_before_its_text.append(len(model.analysis_requests))
        go.set()
        await sending
        await until_answers_done()

    assert (asked_before_its_text, len(model.analysis_requests)) == ([0], 1)


async def test_an_analysis_is_one_request_by_a_schema_that_each_provider_takes(
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
    assert set(schema["required"]) == set(schema["properties"]) == set(ANALYSIS)
    # Not all providers take a limit, of a number or of a text, and refuse the request for it.
    keywords = {name for each in schema["properties"].values() for name in each}
    assert keywords <= {"type", "enum", "title"}


@pytest.mark.environment(OPENAI_ANALYSIS_MODEL=None)
async def test_without_an_analysis_model_no_analysis_is_requested_or_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")

    assert (len(model.requests), model.analysis_requests) == (1, [])
    assert stored_analyses(database) == [NOTHING]


async def test_the_tone_of_a_request_stays_and_does_not_come_from_the_analysis(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default, model.analysis_reply = SLOW, analysis_reply()

    await parley.say("Hello!", tone="technical", behavior="auto")

    assert stored_analyses(database) == [("cooking", "technical", *STORED[2:])]


@pytest.mark.parametrize("user", [None, "ann"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_late_analysis_is_stored_before_the_function_returns(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    *,
    stream: bool,
) -> None:
    returned = _returned(monkeypatch)
    go = asyncio.Event()
    model.analysis_reply = analysis_reply(until=go)

    response = await parley.say("Hello!", user=user, stream=stream, tone="technical")

    assert response.status_code == 200
    assert "Hello" in response.text
    assert stored_analyses(database) == [(None, "technical", None, None, None, False)]
    assert not returned.is_set()
    go.set()
    await asyncio.wait_for(returned.wait(), 20)
    assert stored_analyses(database) == [("cooking", "technical", *STORED[2:])]


@pytest.mark.parametrize("reply", HANGING)
async def test_an_analysis_that_never_comes_delays_neither_its_answer_nor_the_next(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.analysis_reply = reply

    async with asyncio.timeout(20):
        response = await parley.send("Hello!")
        model.analysis_reply = analysis_reply()
        again = await parley.send("And you?", message_id="message-2")
        await lib.answers.begin.interrupt_answers()

    assert text_of(response) == text_of(again) == "Hello, how are you?"
    assert stored_analyses(database)[0] == NOTHING


@pytest.mark.parametrize("reply", HANGING)
async def test_an_analysis_keeps_its_function_until_the_deadline_at_most(
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
    await until_request_closed(model)


async def test_a_process_that_ends_waits_for_no_analysis(
    parley: Parley, model: ScriptedModel
) -> None:
    model.analysis_reply = HANGING[0]
    await parley.send("Hello!")

    async with asyncio.timeout(20):
        await lib.answers.begin.interrupt_answers()

    await until_request_closed(model)
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
async def test_the_context_of_an_analysis_is_cut_to_storable_text(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, context: str, stored: str
) -> None:
    model.analysis_reply = analysis_reply({"context_type": context})

    await parley.send("Hello!")
    await until_answers_done()

    assert stored_analyses(database) == [(stored, *STORED[1:])]


async def test_a_late_analysis_of_a_replaced_answer_is_not_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.analysis_reply = analysis_reply(until=go)
    await parley.send("Hello!")
    model.analysis_reply = Reply(status=404)

    await parley.send("Hello!", trigger="regenerate-message")
    go.set()
    await until_answers_done()

    assert len(model.analysis_requests) == 2
    assert stored_analyses(database) == [NOTHING, NOTHING]


async def test_a_replayed_answer_requests_no_analysis(parley: Parley, model: ScriptedModel) -> None:
    await parley.send("Hello!")
    await parley.send("Hello!")

    assert len(model.analysis_requests) == 1


def _returned(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event that is set when the function has returned, after which it may freeze."""
    event = asyncio.Event()
    for response in (lib.chat.post.AnswerStream, lib.chat.post.HeldResponse):
        original = response.__call__

        async def recorded(
            self: Any, scope: Scope, receive: Receive, send: Send, original: Any = original
        ) -> None:
            await original(self, scope, receive, send)
            event.set()

        monkeypatch.setattr(response, "__call__", recorded)
    return event
