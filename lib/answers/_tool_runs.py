"""Running tools, in the name of the caller, each at most once for a question.

An attempt to answer may die after a tool had its effect; the next attempt must not have it again.
So each run is noted under a key that is the same in each attempt, in the transaction of its effect
where that is a statement.
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
from lib.conversations.steps import UNKNOWN, ToolCall
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
# Providers take no longer one when they are told of a call again.
MAX_ID_CHARS = 40
FAILED = "The tool failed. Tell the user that this did not work."
NOT_RUN = "Not run."


class AlreadyRunError(Exception):
    """An earlier attempt has run this; its outcome counts."""


class ToolRuns:
    """The runs of one attempt to answer."""

    def __init__(self, database: Database, turn: Turn) -> None:
        """Take the turn that they are for."""
        self._database = database
        self._turn = turn
        self._earlier = {run.run_key: run for run in turn.tool_runs}
        self._counted = Counter[str]()
        self._ids: set[str] = set()
        # The loop itself holds tasks only weakly.
        self._noting: set[asyncio.Task[None]] = set()

    def earlier_calls(self) -> list[ToolCall]:
        """Return what earlier attempts have run, in order."""
        return [self._outcome_of(run) for run in self._turn.tool_runs]

    def call(self, call_id: str, name: str, arguments: dict[str, Any]) -> ToolCall:
        """Return a call that is still to be run, under an id that no other one has."""
        is_free = 0 < len(call_id) <= MAX_ID_CHARS and call_id not in self._ids
        chosen = call_id if is_free else f"call_{uuid4().hex}"
        self._ids.add(chosen)
        return ToolCall(id=chosen, name=name, arguments=arguments, error=NOT_RUN)

    async def run(self, call: ToolCall) -> None:
        """Run a call; what came of it, or why nothing did, is then in it.

        Raises:
            AnswerNotStored: the turn is not this attempt's any more.
        """
        tool = tools().get(call.name)
        if tool is None:
            known = ", ".join(tools())
            call.error = f"There is no tool {call.name}. There are: {known}."
            return
        try:
            arguments = TypeAdapter(tool.arguments).validate_python(call.arguments)
        except ValidationError as error:
            call.error = f"The arguments are not valid: {_mistakes(error)}"
            return
        except Exception as error:  # noqa: BLE001 (a validator of the tool's own)
            log("tool_failed", error=error, tool=tool.name)
            call.error = FAILED
            return
        # Until it is known better: also if this is cut.
        call.error = UNKNOWN
        await self._run(tool, arguments, call)

    async def _run(self, tool: Tool, arguments: object, call: ToolCall) -> None:
        context = _Context(self._database, self._turn, call, self._key(call))
        try:
            call.output = _json_of(await _ended(tool, arguments, context))
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
            # Perhaps it was done, and only the word of that was lost: the error that it has stays.
            log("tool_outcome_unknown", error=error, tool=tool.name)
            return
        except Exception as error:  # noqa: BLE001 (a tool's own, whatever it is)
            log("tool_failed", error=error, tool=tool.name)
            is_known = isinstance(error, Problem) and not error.status.is_server_error
            call.error = str(error)[:MAX_ERROR_CHARS] if is_known else FAILED
        if context.has_begun:
            self._note(context.run_key, call)

    def _key(self, call: ToolCall) -> str:
        """Name a run: the tool, its arguments, and how many like it came before in this answer."""
        what = json.dumps([call.name, call.arguments], sort_keys=True)
        self._counted[what] += 1
        return hashlib.sha256(f"{self._counted[what]} {what}".encode()).hexdigest()

    def _note(self, run_key: str, call: ToolCall) -> None:
        """Store what came of a run, beside the next request to the model, which need not wait."""
        outcome = {"error": call.error} if call.error is not None else {"output": call.output}
        task = asyncio.create_task(self._noted(run_key, outcome))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _noted(self, run_key: str, outcome: dict[str, Any]) -> None:
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
        except Exception as error:  # noqa: BLE001 (an attempt after this one then knows less)
            log("tool_outcome_not_noted", cause=type(error).__name__)

    def _outcome_of(self, run: ToolRun) -> ToolCall:
        self._ids.add(run.tool_call_id)
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

    async def run(self, *calls: Call[Any]) -> Any:  # noqa: ANN401 (the protocol tells)
        """See `ToolContext.run`."""
        if self.has_begun:
            return await self._database.run_as(self.caller, None, *calls)
        _, _, *rows = await self._begin(*calls)
        return rows[0] if len(calls) == 1 else tuple(rows)

    async def read(self, call: Call[Any]) -> Any:  # noqa: ANN401 (likewise)
        """See `ToolContext.read`."""
        return await self._database.run_as(self.caller, None, call)

    async def begin(self) -> None:
        """See `ToolContext.begin`."""
        if not self.has_begun:
            await self._begin()

    async def _begin(self, *calls: Call[Any]) -> tuple[list[Any], ...]:
        whose = {"conversation_id": self._turn.conversation_id, "user_id": self.caller.user_id}
        try:
            rows: tuple[list[Any], ...] = await self._database.run_as(
                self.caller,
                None,
                LOCK_CONVERSATION(**whose),
                BEGIN_TOOL_RUN(
                    **whose,
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
            # Of begin_tool_run, not of the tool's own statements.
            if error.diag.constraint_name == "tool_runs_pkey":
                raise AlreadyRunError from error
            if (error.diag.table_name, error.diag.column_name) == ("tool_runs", "conversation_id"):
                raise AnswerNotStored from error
            raise
        self.has_begun = True
        return rows


async def _ended(tool: Tool, arguments: object, context: _Context) -> object:
    """Run a tool and return what it returns.

    In a task of its own: one that is cancelled from within, as by awaiting what was cancelled, is a
    tool that failed, and not the end of the answer.

    Raises:
        CancelledError: the answer is cut.
        Exception: the tool's own.
    """
    running = asyncio.ensure_future(tool.run(arguments, context))
    try:
        return await running
    except asyncio.CancelledError as error:
        own = asyncio.current_task()
        if own is None or own.cancelling():
            raise
        message = "the tool was cancelled from within"
        raise RuntimeError(message) from error


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found[:10])


def _json_of(output: object) -> object:
    """Return what a tool returned as plain JSON, as the model and the page get it.

    Raises:
        ToolError: it is too long for the model, or no JSON. Whatever it did is done.
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
