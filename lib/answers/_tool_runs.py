"""Running tools in the name of the caller, each at most once for a question.

An attempt may die after a tool had its effect, and the next attempt must not repeat the effect. So
each run is stored under a key that is the same in each attempt: in the transaction of the effect,
where the effect is a statement.
"""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any
from uuid import uuid4

import psycopg
from pydantic import TypeAdapter, ValidationError

from lib.conversations.conversation import LOCK_CONVERSATION
from lib.conversations.parts import ToolCall
from lib.conversations.steps import UNKNOWN
from lib.database.client import Database
from lib.database.statements import Call
from lib.http.responses import plain_json
from lib.identity.callers import Caller
from lib.problems import AnswerNotStored, DatabaseUnavailable, Problem
from lib.runtime.log import log
from lib.texts import storable_json, storable_text
from lib.tools import Tool, ToolError, tools
from lib.turns.tool_runs import BEGIN_TOOL_RUN, FINISH_TOOL_RUN, ToolRun
from lib.turns.turn import Turn

MAX_OUTPUT_CHARS = 32_768
MAX_ERROR_CHARS = 2000
# Providers refuse a longer id when they read the call in a later request.
MAX_ID_CHARS = 40
FAILED = "The tool failed. Tell the user that this did not work."
NOT_RUN = "Not run."


class AlreadyRunError(Exception):
    """An earlier attempt has run this call; that run's outcome counts."""


class ToolRuns:
    """The runs of one attempt to answer."""

    def __init__(self, database: Database, turn: Turn) -> None:
        """Take the turn, with the runs of earlier attempts, and the database that tools work on."""
        self._database = database
        self._turn = turn
        self._earlier = {run.run_key: run for run in turn.tool_runs}
        self._run_counts = Counter[str]()
        self._call_ids: set[str] = set()
        # The event loop itself holds tasks only weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    def earlier_calls(self) -> list[ToolCall]:
        """Return the calls that earlier attempts have run, in order."""
        return [self._outcome_of(run) for run in self._turn.tool_runs]

    def new_call(self, call_id: str, name: str) -> ToolCall:
        """Return a call that has not run, under the provider's id unless that is taken."""
        is_free = 0 < len(call_id) <= MAX_ID_CHARS and call_id not in self._call_ids
        own_id = call_id if is_free else f"call_{uuid4().hex}"
        self._call_ids.add(own_id)
        return ToolCall(id=own_id, name=name, arguments={}, error=NOT_RUN)

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
            arguments = TypeAdapter(tool.arguments).validate_python(call.arguments)
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
        context = _Context(self._database, self._turn, call, self._run_key(call))
        try:
            call.output = _plain_output(await _run_tool(tool, arguments, context))
            call.error = None
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
        if context.has_begun:
            self._store_outcome(context.run_key, call)

    def _run_key(self, call: ToolCall) -> str:
        """Return the key of a run: a hash of tool, arguments, and number of equal calls so far."""
        text = json.dumps([call.name, call.arguments], sort_keys=True)
        self._run_counts[text] += 1
        return hashlib.sha256(f"{self._run_counts[text]} {text}".encode()).hexdigest()

    def _store_outcome(self, run_key: str, call: ToolCall) -> None:
        """Store the outcome of a run, while the model is asked again already."""
        outcome = {"error": call.error} if call.error is not None else {"output": call.output}
        task = asyncio.create_task(self._finish_tool_run(run_key, outcome))
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


class _Context:
    """The `ToolContext` of one run."""

    def __init__(self, database: Database, turn: Turn, call: ToolCall, run_key: str) -> None:
        self.caller: Caller = turn.caller
        self.run_key = run_key
        self.has_begun = False
        self._database = database
        self._turn = turn
        self._call = call

    async def run(self, *calls: Call[Any]) -> Any:  # noqa: ANN401 (the protocol has the overloads)
        """See `ToolContext.run`."""
        if self.has_begun:
            return await self._database.run_as(self.caller, None, *calls)
        _, _, *rows = await self._begin_tool_run(*calls)
        return rows[0] if len(calls) == 1 else tuple(rows)

    async def read(self, call: Call[Any]) -> Any:  # noqa: ANN401 (likewise)
        """See `ToolContext.read`."""
        return await self._database.run_as(self.caller, None, call)

    async def begin(self) -> None:
        """See `ToolContext.begin`."""
        if not self.has_begun:
            await self._begin_tool_run()

    async def _begin_tool_run(self, *calls: Call[Any]) -> tuple[list[Any], ...]:
        conversation = {
            "conversation_id": self._turn.conversation_id,
            "user_id": self.caller.user_id,
        }
        try:
            rows: tuple[list[Any], ...] = await self._database.run_as(
                self.caller,
                None,
                LOCK_CONVERSATION(**conversation),
                BEGIN_TOOL_RUN(
                    **conversation,
                    turn_id=self._turn.id,
                    question_id=self._turn.question.id,
                    run_key=self.run_key,
                    tool_call_id=self._call.id,
                    tool_name=self._call.name,
                    arguments=json.dumps(self._call.arguments),
                    now=None,
                ),
                *calls,
            )
        except psycopg.errors.IntegrityError as error:
            # begin_tool_run violates these two; others are of the tool's own statements.
            if error.diag.constraint_name == "tool_runs_pkey":
                raise AlreadyRunError from error
            if (error.diag.table_name, error.diag.column_name) == ("tool_runs", "conversation_id"):
                raise AnswerNotStored from error
            raise
        self.has_begun = True
        return rows


async def _run_tool(tool: Tool, arguments: object, context: _Context) -> object:
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


def _plain_output(output: object) -> object:
    """Return a tool's result as plain JSON, for the model and for pages.

    Raises:
        ToolError: when it is too long for the model, or no JSON; the tool's effect stays.
    """
    try:
        text = json.dumps(output, default=plain_json, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        message = "It was run, but its result cannot be shown."
        raise ToolError(message) from None
    if len(text) > MAX_OUTPUT_CHARS:
        message = f"The result is too long, over {MAX_OUTPUT_CHARS} characters. Ask for less."
        raise ToolError(message)
    return storable_json(json.loads(text))
