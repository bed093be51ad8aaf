"""The statements of tool runs for `tests/queries`, with the time as a parameter."""

import json
from typing import Any

from lib.conversations.conversation import LOCK_CONVERSATION
from lib.turns.tool_runs import BEGIN_TOOL_RUN, FINISH_TOOL_RUN, LIST_TOOL_RUNS, ToolRun
from tests.support.steps.turns import Begun, Turns, act_as


async def begin_run(
    turns: Turns, begun: Begun, run_key: str = "run-1", **parameters: object
) -> None:
    """Run begin_tool_run after lock_conversation, as `lib.answers._tools.runs` does."""
    defaults: dict[str, Any] = {
        "turn_id": begun.turn_id,
        "question_id": begun.question.id,
        "run_key": run_key,
        "tool_call_id": f"call-of-{run_key}",
        "tool_name": "add_task",
        "arguments": json.dumps({"title": run_key}),
        "now": turns.now,
    }
    conversation = {"conversation_id": begun.conversation_id, "user_id": begun.user_id}
    caller_id = str(parameters.get("user_id", begun.user_id))
    _, _, [row] = await turns.database.run(
        act_as(caller_id),
        LOCK_CONVERSATION(**conversation),
        BEGIN_TOOL_RUN(**(conversation | defaults | parameters)),
    )
    assert row.run_key == run_key


async def finish_run(
    turns: Turns, begun: Begun, run_key: str = "run-1", **parameters: object
) -> bool:
    """Run finish_tool_run; return whether there was such a run."""
    defaults: dict[str, Any] = {
        "conversation_id": begun.conversation_id,
        "user_id": begun.user_id,
        "question_id": begun.question.id,
        "run_key": run_key,
        "output": json.dumps({"output": "done"}),
    }
    caller_id = str(parameters.get("user_id", begun.user_id))
    _, rows = await turns.database.run(
        act_as(caller_id), FINISH_TOOL_RUN(**(defaults | parameters))
    )
    return bool(rows)


async def list_runs(turns: Turns, begun: Begun, **parameters: Any) -> list[ToolRun]:
    """Run list_tool_runs."""
    defaults: dict[str, Any] = {
        "conversation_id": begun.conversation_id,
        "user_id": begun.user_id,
        "turn_id": begun.turn_id,
    }
    call = LIST_TOOL_RUNS(**(defaults | parameters))
    caller_id = parameters.get("user_id", begun.user_id)
    _, runs = await turns.database.run(act_as(caller_id, begun.conversation_id), call)
    return runs
