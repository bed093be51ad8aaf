"""A tool has its effect once for a message, however often the answer is tried."""

import asyncio
import json
from collections.abc import Callable

import psycopg
import pytest
from pydantic import BaseModel

import lib.answers._batches
from lib.model._ids import portable_id
from lib.tools import ToolContext
from tests.chat.conftest import Offer
from tests.chat.test_tools import check_provider_form, tasks
from tests.support.left_behind import leave_behind
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, headers_of, parts_of, problem_of, sdk_body, text_of

MILK = Called("add_task", {"title": "Buy milk"}, "call_milk")
DONE = Reply(pieces=("Done",))
BROKEN = Reply(status=500)
HANGS = Reply(hangs_after=0)


class Nothing(BaseModel):
    """Arguments of a tool that takes none."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("again", [[calling(MILK), DONE], [DONE]], ids=["called again", "not"])
async def test_a_message_tried_again_after_a_failure_runs_its_tool_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, again: list[Reply]
) -> None:
    model.replies = [calling(MILK), BROKEN, *again]
    failed = await parley.send("Add milk", user="ann")
    assert '"type":"error"' in failed.text

    retried = await parley.send("Add milk", user="ann")

    assert text_of(retried) == "Done"
    assert tasks(database) == [("ann", "Buy milk")]
    *_, called, result = check_provider_form(model.requests[2])
    assert called["tool_calls"][0]["id"] == portable_id("call_milk")
    assert json.loads(result["content"])["title"] == "Buy milk"
    assert database.execute("SELECT count(*) FROM tool_runs").fetchone() == (0,)
    outputs = [part for part in parts_of(retried) if part["type"] == "tool-output-available"]
    assert {part["output"]["title"] for part in outputs} == {"Buy milk"}


async def test_a_message_tried_again_after_its_function_died_runs_its_tool_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), HANGS, calling(MILK), DONE]
    first = asyncio.create_task(parley.send("Add milk", user="ann"))
    await until(lambda: len(model.requests) == 2)
    leave_behind(database)

    second = await parley.send("Add milk", user="ann")

    assert text_of(second) == "Done"
    assert tasks(database) == [("ann", "Buy milk")]
    first.cancel()


async def test_an_attempt_that_lost_its_turn_runs_no_tool(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without batches, which would tell the attempt before it comes to the tool.
    monkeypatch.setattr(lib.answers._batches, "BATCH_SECONDS", 60)
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 60)
    bread = Called("add_task", {"title": "Buy bread"})
    model.replies = [Reply(seconds_before=0.5, chunks=calling(bread).chunks), DONE]
    first = asyncio.create_task(parley.send("Add bread", user="ann"))
    await until(lambda: len(model.requests) == 1)
    leave_behind(database)

    assert text_of(await parley.send("Add bread", user="ann")) == "Done"

    assert '"type":"error"' in (await first).text
    assert tasks(database) == []


async def test_the_same_tool_call_twice_in_one_answer_runs_twice(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, Called("add_task", {"title": "Buy milk"}, "2")), DONE]

    await parley.send("Add milk, twice", user="ann")

    assert len(tasks(database)) == 2


async def test_a_regenerated_answer_may_run_its_tool_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), DONE, calling(MILK), DONE]
    await parley.send("Add milk", user="ann")

    await parley.send("Add milk", user="ann", trigger="regenerate-message")

    assert len(tasks(database)) == 2


async def test_the_model_reads_that_a_tool_failed_without_its_error_text(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    async def explode(_nothing: Nothing, _context: ToolContext) -> object:
        """Explode."""
        message = "sk-secret in /etc/passwd"
        raise RuntimeError(message)

    offer(explode)
    model.replies = [calling(Called("explode")), Reply(pieces=("Sorry",))]

    response = await parley.send("Explode", user="ann")

    assert text_of(response) == "Sorry"
    assert "secret" not in response.text
    assert "The tool failed" in json.dumps(model.requests[1]["messages"])
    assert "secret" not in json.dumps(model.requests[1]["messages"])


async def test_a_tool_with_an_effect_outside_the_database_runs_once(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    sent: list[str] = []

    async def send_letter(_nothing: Nothing, context: ToolContext) -> object:
        """Send a letter."""
        await context.begin()
        sent.append(str(context.caller.user_id))
        return {"sent": True}

    offer(send_letter)
    letter = calling(Called("send_letter"))
    model.replies = [letter, BROKEN, letter, DONE]
    await parley.send("Write to her", user="ann")

    assert text_of(await parley.send("Write to her", user="ann")) == "Done"

    assert sent == ["ann"]


async def test_a_tool_that_was_cut_midway_is_not_run_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, offer: Offer
) -> None:
    begun: list[int] = []

    async def send_letter(_nothing: Nothing, context: ToolContext) -> object:
        """Send a letter."""
        await context.begin()
        begun.append(1)
        await asyncio.sleep(60)
        return {"sent": True}

    offer(send_letter)
    letter = calling(Called("send_letter"))
    model.replies = [letter, letter, DONE]
    first = asyncio.create_task(parley.send("Write to her", user="ann"))
    await until(lambda: len(begun) == 1)
    leave_behind(database)

    assert text_of(await parley.send("Write to her", user="ann")) == "Done"

    assert begun == [1]
    assert "not known what came of this" in json.dumps(model.requests[1]["messages"])
    first.cancel()


async def test_an_answer_goes_on_when_its_reader_leaves_between_two_steps(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), Reply(pieces=("Done",), seconds_before=0.5)]

    async with parley.client.stream(
        "POST", "/api/chat", json=sdk_body("Add milk"), headers=headers_of("ann")
    ) as response:
        async for line in response.aiter_lines():
            if "tool-output-available" in line:
                break

    await until(lambda: database.execute(
        "SELECT count(*) FROM chat_messages WHERE role = 'assistant'"
    ).fetchone() == (1,))  # fmt: skip
    answer = (await parley.history(user="ann"))["messages"][1]
    assert answer["content"] == "Done"
    assert [part["type"] for part in answer["parts"]].count("tool-add_task") == 1


@pytest.mark.environment(MAX_DURATION_SECONDS="5")
async def test_an_answer_cut_in_a_tool_at_the_deadline_is_stored_in_the_providers_form(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    async def dawdle(_nothing: Nothing, _context: ToolContext) -> object:
        """Dawdle."""
        await asyncio.sleep(60)
        return {}

    offer(dawdle)
    second = Called("add_task", {"title": "Never"}, "call_2")
    model.replies = [calling(Called("dawdle"), second, text="Wait.")]

    parts = parts_of(await parley.send("Dawdle", user="ann"))

    assert parts[-1]["finishReason"] == "length"
    errors = [part["errorText"] for part in parts if part["type"] == "tool-output-error"]
    assert len(errors) == 2
    await parley.send("And now?", message_id="message-2", user="ann")
    check_provider_form(model.requests[1])


async def test_an_answer_of_tools_alone_whose_model_then_fails_is_tried_again(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK), BROKEN, BROKEN, DONE]
    await parley.send("Add milk", user="ann")

    again = await parley.send("Add milk", user="ann")
    problem_of(again, 502, "model_failed")

    assert text_of(await parley.send("Add milk", user="ann")) == "Done"
