"""begin_tool_run."""

from uuid import uuid4

import psycopg
import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.tool_runs import begin_run
from tests.support.steps.turns import Turns

ALL = "SELECT user_id, run_key, tool_call_id, tool_name, arguments, output, created_at"


async def test_a_tool_run_is_stored_before_it_has_an_outcome(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")

    await begin_run(turns, begun)

    assert rows.run(f"{ALL} FROM tool_runs") == [
        ("ada", "run-1", "call-of-run-1", "add_task", {"title": "run-1"}, None, turns.now)
    ]


async def test_beginning_the_same_tool_run_twice_is_an_error(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)

    with pytest.raises(psycopg.errors.UniqueViolation, match="tool_runs_pkey"):
        await begin_run(turns, begun, tool_call_id="another")

    assert rows.run("SELECT tool_call_id FROM tool_runs") == [("call-of-run-1",)]


async def test_an_attempt_that_lost_the_turn_begins_no_tool_run(turns: Turns, rows: Rows) -> None:
    late = await turns.begin(user_id="ada")
    await turns.release(late)
    again = await turns.begin(user_id="ada")

    with pytest.raises(psycopg.errors.NotNullViolation) as raised:
        await begin_run(turns, late)
    await begin_run(turns, again)

    assert raised.value.diag.column_name == "conversation_id"
    assert rows.run("SELECT turn_id FROM tool_runs") == [(again.turn_id,)]


async def test_an_attempt_whose_turn_is_over_begins_no_tool_run(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun)

    with pytest.raises(psycopg.errors.NotNullViolation):
        await begin_run(turns, begun)


async def test_no_tool_run_begins_in_another_callers_turn(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.begin(user_id="eve", conversation_id=uuid4())

    with pytest.raises(psycopg.errors.NotNullViolation):
        await begin_run(turns, begun, user_id="eve")

    assert rows.run("SELECT run_key FROM tool_runs") == []
