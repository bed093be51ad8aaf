"""Tool runs as `tests/queries` notes them: the statements, with the time as a parameter."""

import json
from typing import Any

from lib.conversations.conversation import LOCK_CONVERSATION
from lib.turns.tool_runs import BEGIN_TOOL_RUN, FINISH_TOOL_RUN, LIST_TOOL_RUNS, ToolRun
from tests.support.steps.turns import Begun, Turns, act_as


async def begin_run(
    turns: Turns, begun: Begun, run_key: str = "run-1", **parameters: object
) -> None:
    """Run begin_tool_run as `lib.answers._tool_runs` does, after lock_conversation."""
    usual: dict[str, Any] = {
        "turn_id": begun.turn_id,
        "question_id": begun.question.id,
        "run_key": run_key,
        "tool_call_id": f"call-of-{run_key}",
        "tool_name": "add_task",
        "arguments": json.dumps({"title": run_key}),
        "now": turns.now,
    }
    whose = {"conversation_id": begun.conversation_id, "user_id": begun.user_id}
    acting = {"user_id": begun.user_id} | parameters
    _, _, [row] = await turns.database.run(
        act_as(str(acting["user_id"])),
        LOCK_CONVERSATION(**whose),
        BEGIN_TOOL_RUN(**(whose | usual | parameters)),
    )
    assert row.run_key == run_key


async def finish_run(
    turns: Turns, begun: Begun, run_key: str = "run-1", **parameters: object
) -> bool:
    """Run finish_tool_run; tell whether there was such a run."""
    usual: dict[str, Any] = {
        "conversation_id": begun.conversation_id,
        "user_id": begun.user_id,
        "question_id": begun.question.id,
        "run_key": run_key,
        "output": json.dumps({"output": "done"}),
    }
    acting = {"user_id": begun.user_id} | parameters
    _, rows = await turns.database.run(
        act_as(str(acting["user_id"])), FINISH_TOOL_RUN(**(usual | parameters))
    )
    return bool(rows)


async def list_runs(turns: Turns, begun: Begun, **parameters: object) -> list[ToolRun]:
    """Run list_tool_runs."""
    whose: dict[str, Any] = {
        "conversation_id": begun.conversation_id,
        "user_id": begun.user_id,
        "turn_id": begun.turn_id,
    }
    whose |= parameters
    _, found = await turns.database.run(
        act_as(whose["user_id"], begun.conversation_id), LIST_TOOL_RUNS(**whose)
    )
    return found
