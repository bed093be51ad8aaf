"""Tool runs: what was run for a question, noted so that no later attempt runs it again."""

from dataclasses import dataclass
from typing import Any

from lib.conversations.steps import UNKNOWN, ToolCall
from lib.database.statements import Statement


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A row of list_tool_runs."""

    run_key: str
    tool_call_id: str
    tool_name: str
    arguments: dict[str, Any]
    output: dict[str, Any] | None

    def to_call(self) -> ToolCall:
        """Return the call as it was run, and what came of it as far as that is known."""
        known = self.output or {"error": UNKNOWN}
        return ToolCall(
            id=self.tool_call_id,
            name=self.tool_name,
            arguments=self.arguments,
            output=known.get("output"),
            error=known.get("error"),
        )


LIST_TOOL_RUNS = Statement("turns/list_tool_runs", ToolRun)


@dataclass(frozen=True, slots=True)
class RunKey:
    """The row of begin_tool_run and of finish_tool_run."""

    run_key: str


BEGIN_TOOL_RUN = Statement("turns/begin_tool_run", RunKey)
FINISH_TOOL_RUN = Statement("turns/finish_tool_run", RunKey)
