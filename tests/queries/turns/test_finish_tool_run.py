"""finish_tool_run."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.tool_runs import begin_run, finish_run
from tests.support.steps.turns import Turns

OUTPUTS = "SELECT run_key, output FROM tool_runs ORDER BY run_key"


async def test_a_tool_runs_outcome_is_stored_with_that_run_only(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun, "run-1")
    await begin_run(turns, begun, "run-2")

    assert await finish_run(turns, begun, "run-1")

    assert rows.run(OUTPUTS) == [("run-1", {"output": "done"}), ("run-2", None)]


@pytest.mark.parametrize("parameters", [{"run_key": "run-2"}, {"question_id": 99}])
async def test_an_unknown_tool_run_is_not_finished(
    turns: Turns, rows: Rows, parameters: dict[str, Any]
) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)

    assert not await finish_run(turns, begun, **parameters)
    assert rows.run(OUTPUTS) == [("run-1", None)]


async def test_another_callers_tool_run_is_not_finished(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.begin(user_id="eve", conversation_id=uuid4())

    assert not await finish_run(turns, begun, user_id="eve", output=json.dumps({}))
    assert rows.run(OUTPUTS) == [("run-1", None)]


async def test_a_tool_run_whose_question_is_answered_is_gone(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await turns.finish(begun)

    assert not await finish_run(turns, begun)
