"""Before the function's deadline the answer is cut, stored and marked, and the stream ends well."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of, text_of

pytestmark = pytest.mark.environment(MAX_DURATION_SECONDS="5")
ENDLESS = Reply(pieces=("word ",) * 1000, seconds_between=0.1)


async def test_an_answer_is_cut_before_the_deadline_and_stored(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [ENDLESS]
    started = time.monotonic()

    response = await parley.send("Hello!")

    assert time.monotonic() - started < 5
    finish = parts_of(response)[-1]
    assert (finish["type"], finish["finishReason"]) == ("finish", "length")
    assert finish["messageMetadata"]["finish_reason"] == "length"
    answer = (await parley.history())["messages"][-1]
    assert (answer["content"], answer["finish_reason"]) == (text_of(response), "timeout")
    assert answer["metadata"]["finish_reason"] == "length"
    assert model.left == 1


async def test_a_model_that_is_silent_until_the_deadline_is_a_504(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(seconds_before=60)]

    response = await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(response, 504, "model_timeout")
    assert await parley.said(CHAT_ID) == ["Hello!"]


async def test_no_lease_outlasts_the_deadline_by_the_clock_of_the_database(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=1)]

    sending = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(0.5)
    row = database.execute("SELECT turn_expires_at - updated_at FROM conversations").fetchone()
    await sending

    assert row is not None
    assert timedelta(seconds=4.5) < row[0] <= timedelta(seconds=5)


@pytest.mark.environment(MAX_DURATION_SECONDS="60")
async def test_the_deadline_of_the_runtime_counts_before_the_setting(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = datetime.now(UTC) + timedelta(seconds=2)
    monkeypatch.setattr("vercel_runtime.deadline.get_deadline", lambda: told)
    model.replies = [ENDLESS]
    started = time.monotonic()

    response = await parley.send("Hello!")

    assert time.monotonic() - started < 2.2
    assert parts_of(response)[-1]["finishReason"] == "length"
