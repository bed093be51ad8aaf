"""What an attempt to answer has left behind: stored in its place, once its lease has run out.

Its function was killed, or ended before it could store the answer. The parts that it had kept tell
what it had said and done; whoever comes next stores that as the answer, marked `interrupted`.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg

from lib.conversations.message import Message
from lib.conversations.steps import CUT, UNKNOWN, Step, ToolCall, stored_steps
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.identity.callers import Caller
from lib.problems import AnswerInterrupted, DatabaseUnavailable
from lib.runtime.counting import note_finish
from lib.runtime.log import log
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.turns.finish import Rest, StoredAnswer, TurnKey, finish_call, release_calls
from lib.turns.tool_runs import LIST_TOOL_RUNS, ToolRun

type Run = Callable[..., Awaitable[Any]]
LAPSED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class LeftTurn:
    """The row of find_left_turn."""

    question_id: int | None
    question_content: str | None
    parts: str


@dataclass(frozen=True, slots=True)
class LapsedTurn:
    """The row of list_lapsed_turns."""

    conversation_id: UUID
    user_id: str | None
    turn_id: UUID


FIND_LEFT_TURN = Statement("turns/find_left_turn", LeftTurn)
LIST_LAPSED_TURNS = Statement("turns/list_lapsed_turns", LapsedTurn)


async def recover_turn(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    turn_id: UUID,
    finish_reason: str = "interrupted",
) -> None:
    """Store what an attempt has left behind, and give its turn back; once, whoever else tries.

    Two round trips. Where the attempt has said nothing, or its question is gone, the turn is given
    back without an answer.

    Args:
        database: where.
        caller: whose conversation it is.
        conversation_id: which.
        turn_id: token of the attempt; if the turn is not its any more, nothing is done.
        finish_reason: what is stored as such: `interrupted`, or `aborted`.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    run = partial(database.run_as, caller, caller.reachable(conversation_id))
    left = LapsedTurn(conversation_id, caller.user_id, turn_id)
    await _recover(run, left, finish_reason)


async def recover_lapsed_turns(database: Database, until: float) -> int:
    """Store what attempts have left behind, whosever they are; for the cron.

    One round trip, and two for each attempt.

    Args:
        database: where.
        until: when no other one is begun, on the clock of `time.monotonic()`, in seconds.

    Returns:
        How many were stored.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    recovered = 0
    for turn in await database.run(LIST_LAPSED_TURNS(batch_size=LAPSED_AT_ONCE, now=None)):
        if time.monotonic() > until:
            break
        try:
            # Outside of the wall: the account may be switched off by now.
            recovered += await _recover(database.run, turn, "interrupted")
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 (one that cannot be read must not keep the others)
            log("turn_not_recovered", error=error, turn_id=turn.turn_id)
    return recovered


async def _recover(run: Run, lapsed: LapsedTurn, finish_reason: str) -> bool:
    """Recover one; tell whether there was an answer, and it is this that has stored it."""
    turn_id, user_id = lapsed.turn_id, lapsed.user_id
    which = {"conversation_id": lapsed.conversation_id, "user_id": user_id, "turn_id": turn_id}
    kept = {"retention_days": settings().retention_days, "now": None}
    found, runs = await run(FIND_LEFT_TURN(**which, **kept), LIST_TOOL_RUNS(**which))
    if not found:
        return False
    release = partial(run, *release_calls(lapsed.conversation_id, user_id, turn_id))
    try:
        call = _finish_call(lapsed, found[0], runs, finish_reason)
        stored = call and await run(call)
    except (ValueError, LookupError, TypeError, psycopg.DataError, psycopg.IntegrityError) as error:
        # Parts that cannot be read, or not be stored, such as those of another version. Or nobody
        # could go on.
        log("turn_not_recovered", error=error, turn_id=turn_id)
        await release()
        return False
    if stored is None:
        await release()
        log("turn_released", cause="nothing left behind")
    if not stored:
        return False
    note_finish(finish_reason)
    log("turn_recovered", finish_reason=finish_reason)
    return True


def _finish_call(
    lapsed: LapsedTurn, left: LeftTurn, runs: list[ToolRun], finish_reason: str
) -> Call[StoredAnswer] | None:
    """Return the call that stores what was left behind; None: there is nothing to be stored."""
    said = _Said(left.parts.encode())
    said.add_runs(runs)
    answer = said.draft(lapsed.conversation_id, left.question_id or 0, finish_reason)
    if answer is None or left.question_id is None:
        return None
    key = TurnKey(
        lapsed.turn_id,
        lapsed.conversation_id,
        lapsed.user_id,
        left.question_id,
        left.question_content or "",
    )
    last = ui_stream.ABORT if finish_reason == "aborted" else _interrupted()
    rest = Rest(0, left.parts.encode() + said.added, b"", last + ui_stream.DONE)
    return finish_call(key, answer, None, rest)


def _interrupted() -> bytes:
    return ui_stream.error(AnswerInterrupted().detail)


class _Said:
    """What an attempt had said and done, as its parts tell.

    Attributes:
        added: parts that its stream lacks, which tell what became of its tool calls.
    """

    def __init__(self, parts: bytes) -> None:
        """Read the parts."""
        self.added = b""
        self._message_id = str(uuid4())
        self._steps: list[Step] = []
        self._calls: dict[str, ToolCall] = {}
        # In their order, as sets have none.
        self._open: dict[str, ToolCall] = {}
        for part in ui_stream.contents(parts):
            self._read(part)

    def add_runs(self, runs: list[ToolRun]) -> None:
        """Add what is known of the tools that were run beside, and end the calls that are open."""
        for run in runs:
            outcome = run.to_call()
            call = self._calls.get(outcome.id)
            if call is None:
                # The batch that told of the call was lost with the function.
                self._step().calls.append(outcome)
                self.added += ui_stream.tool_input_start(outcome.id, outcome.name)
                self._tell(outcome)
            elif outcome.id in self._open:
                call.arguments, call.output, call.error = (
                    outcome.arguments,
                    outcome.output,
                    outcome.error,
                )
        for call in self._open.values():
            self._tell(call)

    def draft(self, conversation_id: UUID, question_id: int, finish_reason: str) -> Message | None:
        """Return the answer that it makes; None: it had said and done nothing."""
        if not any(step.text or step.calls for step in self._steps):
            return None
        now = datetime.now(UTC)
        content, tool_calls = stored_steps(self._steps)
        return Message(
            id=0,
            conversation_id=conversation_id,
            message_id=self._message_id,
            role="assistant",
            content=content,
            reply_to=question_id,
            finish_reason=finish_reason,
            tool_calls=tool_calls,
            created_at=now,
            updated_at=now,
        )

    def _read(self, part: dict[str, Any]) -> None:
        match part["type"]:
            case "start":
                self._message_id = part["messageId"]
            case "start-step":
                self._steps.append(Step())
            case "text-delta":
                self._step().text += part["delta"]
            case "tool-input-start":
                call = ToolCall(id=part["toolCallId"], name=part["toolName"], arguments={})
                call.error = CUT
                self._calls[call.id] = call
                self._open[call.id] = call
                self._step().calls.append(call)
            case "tool-input-available":
                call = self._calls[part["toolCallId"]]
                call.arguments, call.error = part["input"], UNKNOWN
            case "tool-output-available":
                self._end(part, output=part["output"], error=None)
            case "tool-output-error":
                self._end(part, output=None, error=part["errorText"])
            case _:
                pass

    def _end(self, part: dict[str, Any], *, output: object, error: str | None) -> None:
        call = self._calls[part["toolCallId"]]
        call.output, call.error = output, error
        self._open.pop(call.id, None)

    def _step(self) -> Step:
        if not self._steps:
            self._steps.append(Step())
        return self._steps[-1]

    def _tell(self, call: ToolCall) -> None:
        self.added += ui_stream.tool_input(call) + ui_stream.tool_output(call)
