"""Analyses that fail, or whose answer is gone: clients notice nothing."""

import asyncio
import json
import logging

import psycopg
import pytest

from tests.support.analyses import (
    ANALYSIS,
    HANGING,
    NOTHING,
    SLOW,
    analysis_reply,
    stored_analyses,
    until_answers_done,
    until_request_closed,
)
from tests.support.logs import events_of
from tests.support.model_server import ANALYSIS_MODEL, Reply, ScriptedModel
from tests.support.product import Parley, text_of

pytestmark = pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)

FAILING = {
    "refused": Reply(status=500),
    "unknown model": Reply(status=404),
    "cut": analysis_reply(cuts_after=1),
    "garbled": analysis_reply(garbles_after=1),
    "without an end": analysis_reply(finish_reason=None),
    "nothing": Reply(pieces=()),
    "prose": Reply(pieces=("I would say it is about ", "sk-secret cooking.")),
    "a list": Reply(pieces=("[1]",)),
    "endless": Reply(pieces=("{",) + (" " * 100,) * 100),
    "deep": Reply(pieces=('{"x":' + "[" * 3000,)),
    "wrong tone": analysis_reply({"tone": "angry"}),
    "wrong behavior": analysis_reply({"behavior": "auto"}),
    "too strong": analysis_reply({"signal_percent": 101}),
    "between": analysis_reply({"signal_percent": 55}),
    "no number": analysis_reply({"signal_percent": None}),
    "not JSON": Reply(pieces=(json.dumps(ANALYSIS).replace("70", "NaN"),)),
    "no context": analysis_reply({"context_type": None}),
    "empty context": analysis_reply({"context_type": " \0"}),
}


@pytest.mark.parametrize("answer", [Reply(), SLOW], ids=["before", "after"])
@pytest.mark.parametrize("reply", FAILING.values(), ids=FAILING)
async def test_a_failed_analysis_leaves_its_answer_alone(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    answer: Reply,
    reply: Reply,
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.default, model.analysis_reply = answer, reply

    response = await parley.send("Hello!")
    await until_answers_done()

    assert text_of(response) == "Hello, how are you?"
    assert stored_analyses(database) == [NOTHING]
    assert "sk-secret" not in response.text + caplog.text


async def test_a_failed_analysis_is_an_event_in_the_log(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.analysis_reply = Reply(status=500)

    await parley.send("Hello!")
    await until_answers_done()

    [failed] = events_of(caplog, "analysis_failed")
    assert failed == {"event": "analysis_failed", "cause": "500 x"}


@pytest.mark.parametrize("meanwhile", ["DELETE FROM conversations", "DELETE FROM users"])
async def test_a_late_analysis_leaves_a_deleted_conversation_deleted(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    meanwhile: str,
) -> None:
    go = asyncio.Event()
    model.analysis_reply = analysis_reply(until=go)

    await parley.send("Hello!", user="ann")
    database.execute(meanwhile.encode())
    go.set()
    await until_answers_done()

    assert stored_analyses(database) == []
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_an_answer_that_fails_midway_waits_for_no_analysis(
    parley: Parley, model: ScriptedModel
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(cuts_after=2, pauses_after=1, until=go)]
    model.analysis_reply = HANGING[0]

    sending = asyncio.create_task(parley.send("Hello!"))
    async with asyncio.timeout(20):
        while not model.analysis_requests:  # noqa: ASYNC110 (the model offers no event)
            await asyncio.sleep(0.01)
        go.set()
        await sending
        await until_answers_done()
    await until_request_closed(model)


async def test_an_answer_that_fails_before_its_first_text_asks_for_no_analysis(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(status=500)]

    await parley.send("Hello!")
    await until_answers_done()

    assert (len(model.requests), model.analysis_requests) == (1, [])
