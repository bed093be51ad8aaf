"""Tool runs: the tools already run for a question, stored so that a retry does not repeat them."""

from dataclasses import dataclass
from typing import Any

from lib.conversations.parts import Data, File, Source, ToolCall
from lib.conversations.steps import UNKNOWN, shown_part
from lib.database.statements import Statement


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A row of list_tool_runs.

    Attributes:
        run_key: identifies the run among those of its question.
        tool_call_id: id of the call that first ran the tool.
        tool_name: the tool.
        arguments: the call's arguments.
        output: `{"output": …}` or `{"error": …}`, and `"shown": […]` where the tool has shown
            parts, as `stored_part` returns them; None: the run began, and its end is not stored.
    """

    run_key: str
    tool_call_id: str
    tool_name: str
    arguments: dict[str, Any]
    output: dict[str, Any] | None

    def to_call(self) -> ToolCall:
        """Return the run as a tool call; without a stored outcome, its error is UNKNOWN."""
        outcome = self.output or {"error": UNKNOWN}
        return ToolCall(
            id=self.tool_call_id,
            name=self.tool_name,
            arguments=self.arguments,
            output=outcome.get("output"),
            error=outcome.get("error"),
        )

    def shown(self) -> list[Source | File | Data]:
        """Return the parts that the tool has shown, in order."""
        stored = (self.output or {}).get("shown", [])
        return [part for each in stored if (part := shown_part(each)) is not None]


LIST_TOOL_RUNS = Statement("turns/list_tool_runs", ToolRun)


@dataclass(frozen=True, slots=True)
class RunKey:
    """The row of begin_tool_run and of finish_tool_run: the run that was stored."""

    run_key: str


BEGIN_TOOL_RUN = Statement("turns/begin_tool_run", RunKey)
FINISH_TOOL_RUN = Statement("turns/finish_tool_run", RunKey)
