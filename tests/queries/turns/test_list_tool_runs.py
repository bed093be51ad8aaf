"""list_tool_runs."""

from uuid import uuid4

import pytest

from lib.turns.tool_runs import ToolRun
from tests.support.steps.tool_runs import begin_run, finish_run, list_runs
from tests.support.steps.turns import LEASE_SECONDS, Turns


async def test_the_next_attempt_finds_what_the_earlier_ones_have_run_in_order(
    turns: Turns,
) -> None:
    for run_key in ("run-2", "run-1"):
        begun = await turns.begin(user_id="ada")
        await begin_run(turns, begun, run_key)
        turns.wait(seconds=LEASE_SECONDS)
    await finish_run(turns, begun, "run-1")

    again = await turns.begin(user_id="ada")

    assert await list_runs(turns, again) == [
        ToolRun("run-2", "call-of-run-2", "add_task", {"title": "run-2"}, None),
        ToolRun("run-1", "call-of-run-1", "add_task", {"title": "run-1"}, {"output": "done"}),
    ]


@pytest.mark.parametrize("finish_reason", ["error", "interrupted"])
async def test_a_broken_answer_does_not_forget_what_was_run(
    turns: Turns, finish_reason: str
) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.finish(begun, finish_reason=finish_reason)

    again = await turns.begin(user_id="ada")

    assert [run.run_key for run in await list_runs(turns, again)] == ["run-1"]


@pytest.mark.parametrize("finish_reason", ["stop", "length", "timeout", "aborted", "tool_calls"])
async def test_an_answer_keeps_what_was_run_so_another_one_runs_it_anew(
    turns: Turns, finish_reason: str
) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.finish(begun, finish_reason=finish_reason)

    again = await turns.begin(None, message_id=None, user_id="ada", regenerates=True)

    assert again.verdict == "taken"
    assert await list_runs(turns, again) == []


async def test_an_edited_question_is_another_one(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.release(begun)

    edited = await turns.begin("Better put", user_id="ada")

    assert await list_runs(turns, edited) == []


async def test_without_the_turn_nothing_is_listed(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)

    assert await list_runs(turns, begun, turn_id=uuid4()) == []


@pytest.mark.parametrize("intruder", ["eve", None])
async def test_those_of_somebody_else_are_not_listed(turns: Turns, intruder: str | None) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.begin(user_id="eve", conversation_id=uuid4())

    assert await list_runs(turns, begun, user_id=intruder) == []
