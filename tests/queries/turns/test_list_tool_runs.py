"""list_tool_runs."""

from datetime import timedelta
from uuid import uuid4

import pytest

from lib.turns.tool_runs import ToolRun
from tests.support.steps.tool_runs import begin_run, finish_run, list_runs
from tests.support.steps.turns import Turns


async def test_the_next_attempt_gets_the_tool_runs_of_earlier_attempts_in_order(
    turns: Turns,
) -> None:
    for run_key in ("run-2", "run-1"):
        begun = await turns.begin(user_id="ada")
        await begin_run(turns, begun, run_key)
        await turns.release(begun)
        turns.now += timedelta(milliseconds=1)
    await finish_run(turns, begun, "run-1")

    again = await turns.begin(user_id="ada")

    assert await list_runs(turns, again) == [
        ToolRun("run-2", "call-of-run-2", "add_task", {"title": "run-2"}, None),
        ToolRun("run-1", "call-of-run-1", "add_task", {"title": "run-1"}, {"output": "done"}),
    ]


@pytest.mark.parametrize("finish_reason", ["error", "interrupted"])
async def test_a_failed_answer_keeps_its_tool_runs_for_the_next_attempt(
    turns: Turns, finish_reason: str
) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.finish(begun, finish_reason=finish_reason)

    again = await turns.begin(user_id="ada")

    assert [run.run_key for run in await list_runs(turns, again)] == ["run-1"]


@pytest.mark.parametrize("finish_reason", ["stop", "length", "timeout", "aborted", "tool_calls"])
async def test_a_regenerated_answer_does_not_get_the_tool_runs_of_the_stored_one(
    turns: Turns, finish_reason: str
) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.finish(begun, finish_reason=finish_reason)

    again = await turns.begin(None, message_id=None, user_id="ada", regenerates=True)

    assert again.verdict == "taken"
    assert await list_runs(turns, again) == []


async def test_an_edited_question_does_not_get_the_tool_runs_of_the_original(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.release(begun)

    edited = await turns.begin("Better put", user_id="ada")

    assert await list_runs(turns, edited) == []


async def test_an_attempt_without_the_turn_gets_no_tool_runs(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)

    assert await list_runs(turns, begun, turn_id=uuid4()) == []


@pytest.mark.parametrize("intruder", ["eve", None])
async def test_another_callers_tool_runs_are_not_listed(turns: Turns, intruder: str | None) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.begin(user_id="eve", conversation_id=uuid4())

    assert await list_runs(turns, begun, user_id=intruder) == []
