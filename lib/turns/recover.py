"""Recovery: store the unfinished answer of an attempt that died, and give its turn back.

An attempt dies when its function is killed, or ends before it has stored the answer. The parts of
its stream that are stored already hold its text and its tool calls. The next request, or the cron,
stores them as the answer, marked `interrupted`, once the attempt's lease has run out.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, assert_never
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
from lib.turns.finish import StoredAnswer, TurnKey, UnstoredParts, finish_call, release_calls
from lib.turns.tool_runs import LIST_TOOL_RUNS, ToolRun

# Why an unfinished answer is stored: its attempt died, or its user asked it to stop.
RecoveryReason = Literal["interrupted", "aborted"]
type Run = Callable[..., Awaitable[Any]]
LAPSED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class LeftTurn:
    """The row of find_left_turn.

    Attributes:
        question_id: `chat_messages.id` of the question; None: the question is gone.
        question_content: its text; None likewise.
        parts: the stored parts of the answer's stream, as one text; '': none are stored.
    """

    question_id: int | None
    question_content: str | None
    parts: str


@dataclass(frozen=True, slots=True)
class LapsedTurn:
    """A row of list_lapsed_turns.

    Attributes:
        conversation_id: id of the conversation.
        user_id: its owner; None: anonymous.
        turn_id: token of the dead attempt.
    """

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
    finish_reason: RecoveryReason = "interrupted",
) -> None:
    """Store the unfinished answer of a dead attempt, and give its turn back.

    Two round trips. Of several processes that try at once, one stores it. Where the attempt has
    left no text and no tool call, or its question is gone, the turn is released without an answer.

    Args:
        database: the database of the turn.
        caller: the conversation's owner.
        conversation_id: id of the conversation.
        turn_id: token of the dead attempt; nothing happens if another attempt holds the turn.
        finish_reason: stored as the answer's.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    run = partial(database.run_as, caller, caller.reachable(conversation_id))
    lapsed = LapsedTurn(conversation_id, caller.user_id, turn_id)
    await _recover(run, lapsed, finish_reason)


async def recover_lapsed_turns(database: Database, until: float) -> int:
    """Store the unfinished answers of all dead attempts, of every user; for the cron.

    One round trip, and two for each attempt.

    Args:
        database: the database of the turns.
        until: when to stop before the next attempt, on the clock of `time.monotonic()`, in seconds.

    Returns:
        The number of answers that were stored.

    Raises:
        DatabaseUnavailable: see `Database.run`.
    """
    recovered_count = 0
    for lapsed in await database.run(LIST_LAPSED_TURNS(batch_size=LAPSED_AT_ONCE, now=None)):
        if time.monotonic() > until:
            break
        try:
            # Not as the caller: the account may be switched off by now.
            recovered_count += await _recover(database.run, lapsed, "interrupted")
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 (one unreadable turn must not keep the others)
            log("turn_not_recovered", error=error, turn_id=lapsed.turn_id)
    return recovered_count


async def _recover(run: Run, lapsed: LapsedTurn, finish_reason: RecoveryReason) -> bool:
    """Recover one turn; return whether this call has stored an answer."""
    turn_id, user_id = lapsed.turn_id, lapsed.user_id
    turn = {"conversation_id": lapsed.conversation_id, "user_id": user_id, "turn_id": turn_id}
    retention = {"retention_days": settings().retention_days, "now": None}
    left_turns, runs = await run(FIND_LEFT_TURN(**turn, **retention), LIST_TOOL_RUNS(**turn))
    if not left_turns:
        return False
    release = partial(run, *release_calls(lapsed.conversation_id, user_id, turn_id))
    try:
        call = _finish_call(lapsed, left_turns[0], runs, finish_reason)
        stored = call and await run(call)
    except (ValueError, LookupError, TypeError, psycopg.DataError, psycopg.IntegrityError) as error:
        # The parts cannot be read or stored, for instance because another version wrote them.
        # Without a release the conversation would stay blocked.
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
    lapsed: LapsedTurn, left: LeftTurn, runs: list[ToolRun], finish_reason: RecoveryReason
) -> Call[StoredAnswer] | None:
    """Return the call that stores the unfinished answer; None: there is none to store."""
    unfinished = _UnfinishedAnswer(left.parts.encode())
    unfinished.add_runs(runs)
    if left.question_id is None or unfinished.is_empty:
        return None
    key = TurnKey(
        lapsed.turn_id,
        lapsed.conversation_id,
        lapsed.user_id,
        left.question_id,
        left.question_content or "",
    )
    answer = unfinished.message(lapsed.conversation_id, left.question_id, finish_reason)
    parts = left.parts.encode() + unfinished.added_parts
    return finish_call(key, answer, None, UnstoredParts(0, parts, b"", _last_parts(finish_reason)))


def _last_parts(finish_reason: RecoveryReason) -> bytes:
    match finish_reason:
        case "aborted":
            return ui_stream.ABORT + ui_stream.DONE
        case "interrupted":
            return ui_stream.error(AnswerInterrupted().detail) + ui_stream.DONE
        case _:
            assert_never(finish_reason)


class _UnfinishedAnswer:
    """The answer of a dead attempt, read from the stored parts of its stream.

    Attributes:
        added_parts: parts that the stream lacks: the outcomes of its tool calls.
    """

    def __init__(self, parts: bytes) -> None:
        """Read the parts."""
        self.added_parts = b""
        self._message_id = str(uuid4())
        self._steps: list[Step] = []
        self._calls: dict[str, ToolCall] = {}
        # A dict because a set has no order: outcomes come in the order of their calls.
        self._open_calls: dict[str, ToolCall] = {}
        for part in ui_stream.contents(parts):
            self._read(part)

    def add_runs(self, runs: list[ToolRun]) -> None:
        """Add the outcomes of the stored tool runs, then end the calls that are still open."""
        for run in runs:
            outcome = run.to_call()
            call = self._calls.get(outcome.id)
            if call is None:
                # The function died before it stored the parts of this call.
                self._last_step().calls.append(outcome)
                self.added_parts += ui_stream.tool_input_start(outcome.id, outcome.name)
                self._add_outcome(outcome)
            elif outcome.id in self._open_calls:
                call.arguments = outcome.arguments
                call.output, call.error = outcome.output, outcome.error
        for call in self._open_calls.values():
            self._add_outcome(call)

    @property
    def is_empty(self) -> bool:
        """The attempt has left no text and no tool call."""
        return not any(step.text or step.calls for step in self._steps)

    def message(
        self, conversation_id: UUID, question_id: int, finish_reason: RecoveryReason
    ) -> Message:
        """Return the answer as a message, with the id that its stream began with."""
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
                self._last_step().text += part["delta"]
            case "tool-input-start":
                self._begin_call(part["toolCallId"], part["toolName"])
            case "tool-input-available":
                call = self._calls[part["toolCallId"]]
                call.arguments, call.error = part["input"], UNKNOWN
            case "tool-output-available":
                self._end_call(part["toolCallId"], output=part["output"])
            case "tool-output-error":
                self._end_call(part["toolCallId"], error=part["errorText"])
            case _:
                # Nothing that is stored: the ends of texts and steps, and pieces of arguments.
                pass

    def _begin_call(self, call_id: str, name: str) -> None:
        call = ToolCall(id=call_id, name=name, arguments={}, error=CUT)
        self._calls[call_id] = self._open_calls[call_id] = call
        self._last_step().calls.append(call)

    def _end_call(self, call_id: str, *, output: object = None, error: str | None = None) -> None:
        call = self._calls[call_id]
        call.output, call.error = output, error
        self._open_calls.pop(call_id, None)

    def _last_step(self) -> Step:
        if not self._steps:
            self._steps.append(Step())
        return self._steps[-1]

    def _add_outcome(self, call: ToolCall) -> None:
        self.added_parts += ui_stream.tool_input(call) + ui_stream.tool_output(call)
