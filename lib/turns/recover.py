"""Recovery: store the unfinished answer of an attempt that died, and give its turn back.

An attempt dies when its function is killed, or ends before it has stored the answer. The parts of
its stream that are stored already hold its text and its tool calls. The next request, or the cron,
stores them as the answer, marked `interrupted`, once the attempt's lease has run out.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never
from uuid import UUID

import psycopg

from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.identity.callers import Caller
from lib.problems import AnswerInterrupted, DatabaseUnavailable, RefusedByRule
from lib.runtime.counting import note_finish
from lib.runtime.log import log
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.streams.compact import expand
from lib.turns._unfinished import RecoveryReason, UnfinishedAnswer
from lib.turns.finish import (
    TurnKey,
    UnstoredParts,
    file_call,
    finish_call,
    release_calls,
)
from lib.turns.tool_runs import LIST_TOOL_RUNS, ToolRun

type Run = Callable[..., Awaitable[Any]]
LAPSED_AT_ONCE = 1000
UNREADABLE = (
    *(ValueError, LookupError, TypeError, RefusedByRule),
    *(psycopg.DataError, psycopg.IntegrityError),
)


@dataclass(frozen=True, slots=True)
class LeftTurn:
    """The row of find_left_turn.

    Attributes:
        question_id: `chat_messages.id` of the question; None: the question is gone.
        question_content: its text; None likewise.
        parts: the stored parts of the answer's stream, as one text (`lib/streams/compact.py`); '':
            none are stored.
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
        calls = _finish_calls(lapsed, left_turns[0], runs, finish_reason)
        stored = await _run_first(run, calls) if calls else None
    except UNREADABLE as error:
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


async def _run_first(run: Run, calls: list[Call[Any]]) -> list[Any]:
    """Run calls as one step, and return the rows of the first."""
    rows = await run(*calls)
    return rows if len(calls) == 1 else rows[0]


def _finish_calls(
    lapsed: LapsedTurn, left: LeftTurn, runs: list[ToolRun], finish_reason: RecoveryReason
) -> list[Call[Any]]:
    """Return the calls that store the unfinished answer, and note its files; none: it is empty."""
    parts = b"".join(expand(left.parts.encode()))
    unfinished = UnfinishedAnswer(parts, lapsed.conversation_id)
    unfinished.add_runs(runs)
    if left.question_id is None or unfinished.is_empty:
        return []
    key = TurnKey(
        lapsed.turn_id,
        lapsed.conversation_id,
        lapsed.user_id,
        left.question_id,
        left.question_content or "",
    )
    answer = unfinished.message(left.question_id, finish_reason)
    parts = left.parts.encode() + unfinished.added_parts
    rest = UnstoredParts(0, parts, b"", _last_parts(finish_reason))
    call = finish_call(key, answer, None, rest)
    return [call, file_call(key, answer, unfinished.files)] if unfinished.files else [call]


def _last_parts(finish_reason: RecoveryReason) -> bytes:
    match finish_reason:
        case "aborted":
            return ui_stream.ABORT + ui_stream.DONE
        case "interrupted":
            return ui_stream.error(AnswerInterrupted().detail) + ui_stream.DONE
        case _:
            assert_never(finish_reason)
