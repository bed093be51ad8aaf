"""export_tool_runs."""

import json
from datetime import datetime

from lib.conversations.export import EXPORT_TOOL_RUNS, ToolRunRow
from tests.support.steps.tool_runs import begin_run, finish_run
from tests.support.steps.turns import Turns, act_as


async def test_a_users_tool_runs_are_exported_oldest_first_with_every_column(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await begin_run(turns, begun)
    await finish_run(turns, begun)

    [row] = await _export(turns)

    assert row.created_at == turns.now
    content = json.loads(row.content)
    assert datetime.fromisoformat(content.pop("created_at")) == turns.now
    assert content == {
        "conversation_id": str(turns.conversation_id),
        "question_id": begun.question.id,
        "run_key": "run-1",
        "user_id": "ada",
        "turn_id": str(begun.turn_id),
        "tool_call_id": "call-of-run-1",
        "tool_name": "add_task",
        "arguments": {"title": "run-1"},
        "output": {"output": "done"},
    }


async def test_the_next_page_of_tool_runs_continues_after_the_last_one(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    for number in (1, 2, 3):
        turns.wait(seconds=1)
        await begin_run(turns, begun, f"run-{number}")

    first = await _export(turns, batch_size=2)
    second = await _export(
        turns,
        batch_size=2,
        cursor_created_at=first[-1].created_at,
        cursor_run_key=first[-1].run_key,
    )

    keys = [json.loads(row.content)["run_key"] for row in (*first, *second)]
    assert keys == ["run-1", "run-2", "run-3"]


async def test_another_users_tool_runs_are_not_exported(turns: Turns) -> None:
    await begin_run(turns, await turns.begin(user_id="eve"))

    assert await _export(turns) == []


async def _export(turns: Turns, **parameters: object) -> list[ToolRunRow]:
    cursor = {"cursor_created_at": None, "cursor_run_key": None}
    limits = {"batch_size": 100, "retention_days": 0, "now": turns.now}
    defaults = {"user_id": "ada"} | limits | cursor
    _, runs = await turns.database.run(act_as("ada"), EXPORT_TOOL_RUNS(**(defaults | parameters)))
    return runs
