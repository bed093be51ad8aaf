"""Running tools in the name of the caller, each at most once for a question.

An attempt may die after a tool had its effect, and the next attempt must not repeat the effect. So
each run is stored under a key that is the same in each attempt: in the transaction of the effect,
where the effect is a statement.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from lib.answers._files.kept import KeptFiles
from lib.answers._tools.context import AlreadyRunError, RunContext, Shown, plain_output
from lib.answers.part_writer import PartWriter
from lib.conversations.parts import ToolCall
from lib.conversations.steps import UNKNOWN, Step, add_part, stored_part
from lib.database.client import Database
from lib.problems import AnswerNotStored, DatabaseUnavailable, Problem
from lib.runtime.log import log
from lib.texts import storable_text
from lib.tools import Tool, ToolError, tools
from lib.turns.tool_runs import FINISH_TOOL_RUN, ToolRun
from lib.turns.turn import Turn

# Of one step: each may hold a connection to the database.
MAX_SIDE_BY_SIDE = 4
MAX_ERROR_CHARS = 2000
# Providers refuse a longer id when they read the call in a later request.
MAX_ID_CHARS = 40
FAILED = "The tool failed. Tell the user that this did not work."
NOT_RUN = "Not run."


class ToolRuns:
    """The runs of one attempt to answer."""

    def __init__(self, database: Database, turn: Turn, parts: PartWriter, files: KeptFiles) -> None:
        """Take the turn, with the runs of earlier attempts, and what tools work on."""
        self._database = database
        self._turn = turn
        self._shown = Shown(parts, files)
        self._places = asyncio.Semaphore(MAX_SIDE_BY_SIDE)
        self._earlier = {run.run_key: run for run in turn.tool_runs}
        self._run_counts = Counter[str]()
        self._call_ids: set[str] = set()
        # The event loop itself holds tasks only weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    def earlier_step(self) -> Step | None:
        """Return the calls that earlier attempts have run, in order, each with what it has shown.

        None: they have run none.
        """
        step = Step()
        for run in self._turn.tool_runs:
            step.parts.append(self._outcome_of(run))
            for part in run.shown():
                add_part([step], part)
        return step if step.parts else None

    def new_call(self, call_id: str, name: str) -> ToolCall:
        """Return a call that has not run, under the provider's id unless that is taken."""
        is_free = 0 < len(call_id) <= MAX_ID_CHARS and call_id not in self._call_ids
        own_id = call_id if is_free else f"call_{uuid4().hex}"
        self._call_ids.add(own_id)
        return ToolCall(id=own_id, name=name, arguments={}, error=NOT_RUN)

    async def run_all(self, calls: list[ToolCall], end: Callable[[ToolCall], None]) -> None:
        """Run the calls of one step that have not been refused.

        Neighbors whose tools allow it run side by side. Any other call begins when the calls
        before it have ended, and ends before the next one begins.

        Args:
            calls: in the model's order.
            end: called with each call, as soon as it has its outcome.

        Raises:
            AnswerNotStored: when the turn is another attempt's by now.
        """
        for is_side_by_side, group in groupby(calls, _may_run_side_by_side):
            if is_side_by_side:
                await self._run_together(group, end)
            else:
                for call in group:
                    await self._run_to_end(call, end)

    async def _run_together(
        self, calls: Iterable[ToolCall], end: Callable[[ToolCall], None]
    ) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for call in calls:
                    tasks.create_task(self._run_to_end(call, end))
        except ExceptionGroup as errors:
            # Each of them is AnswerNotStored.
            raise errors.exceptions[0] from None

    async def _run_to_end(self, call: ToolCall, end: Callable[[ToolCall], None]) -> None:
        if call.error == NOT_RUN:
            async with self._places:
                await self.run(call)
        end(call)

    async def run(self, call: ToolCall) -> None:
        """Run a call, and set its output or its error.

        Raises:
            AnswerNotStored: when the turn is another attempt's by now.
        """
        tool = tools().get(call.name)
        if tool is None:
            known = ", ".join(tools())
            call.error = f"There is no tool {call.name}. There are: {known}."
            return
        try:
            arguments = tool.arguments.model_validate(call.arguments)
        except ValidationError as error:
            call.error = f"The arguments are not valid: {_validation_errors(error)}"
            return
        except Exception as error:  # noqa: BLE001 (a validator of the tool's own)
            log("tool_failed", error=error, tool=tool.name)
            call.error = FAILED
            return
        # This stays if the answer is cut during the run.
        call.error = UNKNOWN
        await self._run(tool, arguments, call)

    async def _run(self, tool: Tool, arguments: object, call: ToolCall) -> None:
        context = RunContext(self._database, self._turn, call, self._run_key(call), self._shown)
        try:
            output = plain_output(await _run_tool(tool, arguments, context))
            call.output, call.error = output, None
        except ToolError as error:
            call.error = storable_text(str(error))[:MAX_ERROR_CHARS]
        except AlreadyRunError:
            run = self._earlier.get(context.run_key)
            outcome = self._outcome_of(run) if run else None
            call.output = outcome.output if outcome else None
            call.error = outcome.error if outcome else UNKNOWN
            return
        except AnswerNotStored:
            raise
        except DatabaseUnavailable as error:
            # The statement may have run, and only its result was lost: the call stays UNKNOWN.
            log("tool_outcome_unknown", error=error, tool=tool.name)
            return
        except Exception as error:  # noqa: BLE001 (a tool may raise anything)
            log("tool_failed", error=error, tool=tool.name)
            is_known = isinstance(error, Problem) and not error.status.is_server_error
            call.error = str(error)[:MAX_ERROR_CHARS] if is_known else FAILED
        finally:
            context.end()
        if context.has_begun:
            self._store_outcome(context, call)

    def _run_key(self, call: ToolCall) -> str:
        """Return the key of a run: a hash of tool, arguments, and number of equal calls so far."""
        text = json.dumps([call.name, call.arguments], sort_keys=True)
        self._run_counts[text] += 1
        return hashlib.sha256(f"{self._run_counts[text]} {text}".encode()).hexdigest()

    def _store_outcome(self, context: RunContext, call: ToolCall) -> None:
        """Store the outcome of a run, while the model is asked again already."""
        outcome: dict[str, Any] = (
            {"error": call.error} if call.error is not None else {"output": call.output}
        )
        if context.shown.parts:
            outcome["shown"] = [stored_part(part) for part in context.shown.parts]
        task = asyncio.create_task(self._finish_tool_run(context.run_key, outcome))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_tool_run(self, run_key: str, outcome: dict[str, Any]) -> None:
        try:
            await self._database.run_as(
                self._turn.caller,
                None,
                FINISH_TOOL_RUN(
                    conversation_id=self._turn.conversation_id,
                    user_id=self._turn.caller.user_id,
                    question_id=self._turn.question.id,
                    run_key=run_key,
                    output=json.dumps(outcome),
                ),
            )
        except Exception as error:  # noqa: BLE001 (a later attempt then finds the outcome unknown)
            log("tool_outcome_not_noted", cause=type(error).__name__)

    def _outcome_of(self, run: ToolRun) -> ToolCall:
        self._call_ids.add(run.tool_call_id)
        return run.to_call()


def _may_run_side_by_side(call: ToolCall) -> bool:
    """Tell whether a call may run beside its neighbors; a call that is refused stops none."""
    tool = tools().get(call.name)
    return tool is None or tool.side_by_side or call.error != NOT_RUN


async def _run_tool(tool: Tool, arguments: object, context: RunContext) -> object:
    """Run a tool in a task of its own, and return its result.

    The task tells a tool that cancels itself, for instance by awaiting a cancelled task, from the
    cancellation of the answer: the first is a tool that failed.

    Raises:
        CancelledError: when the answer is cut.
        Exception: any, from the tool.
    """
    tool_task = asyncio.ensure_future(tool.run(arguments, context))
    try:
        return await tool_task
    except asyncio.CancelledError as error:
        answer_task = asyncio.current_task()
        if answer_task is None or answer_task.cancelling():
            raise
        message = "the tool was cancelled from within"
        raise RuntimeError(message) from error


def _validation_errors(error: ValidationError) -> str:
    """Return the first 10 errors, each with its field."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)[:10]
    return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in errors)
