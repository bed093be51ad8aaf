"""Analyses that fail, or come to an answer that is gone: nobody notices."""

import asyncio
import json
import logging

import psycopg
import pytest

from tests.support.analyses import HANGING, NOTHING, SAID, SLOW, all_done, left, saying, stored_in
from tests.support.logs import events_of
from tests.support.model_server import ANALYSIS_MODEL, Reply, ScriptedModel
from tests.support.product import Parley, text_of

pytestmark = pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)

FAILING = {
    "refused": Reply(status=500),
    "unknown model": Reply(status=404),
    "cut": saying(cuts_after=1),
    "garbled": saying(garbles_after=1),
    "without an end": saying(finish_reason=None),
    "nothing": Reply(pieces=()),
    "prose": Reply(pieces=("I would say it is about ", "sk-secret cooking.")),
    "a list": Reply(pieces=("[1]",)),
    "endless": Reply(pieces=("{",) + (" " * 100,) * 100),
    "deep": Reply(pieces=('{"x":' + "[" * 3000,)),
    "wrong tone": saying({"tone": "angry"}),
    "wrong behavior": saying({"behavior": "auto"}),
    "too strong": saying({"signal_percent": 101}),
    "between": saying({"signal_percent": 55}),
    "no number": saying({"signal_percent": None}),
    "not JSON": Reply(pieces=(json.dumps(SAID).replace("70", "NaN"),)),
    "no context": saying({"context_type": None}),
    "empty context": saying({"context_type": " \0"}),
}


@pytest.mark.parametrize("answer", [Reply(), SLOW], ids=["before", "after"])
@pytest.mark.parametrize("reply", FAILING.values(), ids=FAILING)
async def test_one_that_fails_leaves_the_answer_alone(
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
    await all_done()

    assert text_of(response) == "Hello, how are you?"
    assert stored_in(database) == [NOTHING]
    assert "sk-secret" not in response.text + caplog.text


async def test_a_failure_is_an_event_in_the_log(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    model.analysis_reply = Reply(status=500)

    await parley.send("Hello!")
    await all_done()

    [failed] = events_of(caplog, "analysis_failed")
    assert failed == {"event": "analysis_failed", "cause": "InternalServerError"}


@pytest.mark.parametrize("meanwhile", ["DELETE FROM conversations", "DELETE FROM users"])
async def test_a_conversation_that_is_deleted_meanwhile_stays_so(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    meanwhile: str,
) -> None:
    said = asyncio.Event()
    model.analysis_reply = saying(until=said)

    await parley.send("Hello!", user="ann")
    database.execute(meanwhile.encode())
    said.set()
    await all_done()

    assert stored_in(database) == []
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_none_is_waited_for_when_the_answer_has_failed(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies, model.analysis_reply = [Reply(status=500)], HANGING[0]

    await parley.send("Hello!")

    async with asyncio.timeout(20):
        await all_done()
    await left(model)
