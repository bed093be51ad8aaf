"""Turns: a question taken, to be answered once. The SQL decides; this calls it.

A turn is a lease on the conversation, held under a token of its own for each attempt, which ends by
itself at the function's deadline. Whoever has lost it writes nothing.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from lib.conversations.conversation import PATIENCE, title_of
from lib.conversations.message import Message
from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.identity.callers import Caller
from lib.problems import (
    ConversationArchived,
    ConversationFull,
    ConversationMovedOn,
    MessageIdTaken,
    NotFound,
    NothingToAnswer,
    Problem,
    QuotaExceeded,
    TurnInProgress,
)
from lib.settings import settings
from lib.texts import jsonb
from lib.turns.quota import Quota, subject_of
from lib.turns.tool_runs import LIST_TOOL_RUNS, ToolRun
from lib.turns.turn import Turn, TurnLapsedError

if TYPE_CHECKING:
    from lib.turns.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Decision:
    """The row of begin_turn."""

    minute_remaining: int | None
    minute_reset_seconds: float | None
    day_remaining: int | None
    day_reset_seconds: float | None
    held_turn_id: UUID | None
    verdict: str
    lease_remaining_seconds: float | None
    title: str | None

    @property
    def quota(self) -> Quota | None:
        """What is left of the quota; None: nothing was counted."""
        if (
            self.minute_remaining is None
            or self.minute_reset_seconds is None
            or self.day_remaining is None
            or self.day_reset_seconds is None
        ):
            return None
        return Quota(
            minute_remaining=self.minute_remaining,
            minute_reset_seconds=self.minute_reset_seconds,
            day_remaining=self.day_remaining,
            day_reset_seconds=self.day_reset_seconds,
        )


BEGIN_TURN = Statement("turns/begin_turn", Decision)
LIST_TURN_MESSAGES = Statement("turns/list_turn_messages", Message)
type BeginCalls = tuple[Call[Decision], Call[Message]]
type Begun = tuple[Decision, list[Message], list[ToolRun]]
REFUSALS: dict[str, type[Problem]] = {
    "turn_in_progress": TurnInProgress,
    "moved_on": ConversationMovedOn,
    "archived": ConversationArchived,
    "full": ConversationFull,
    "message_id_taken": MessageIdTaken,
    "nothing_to_answer": NothingToAnswer,
    "over_quota": QuotaExceeded,
}


async def begin_turn(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    request: "ChatRequest",
    *,
    turn_id: UUID,
    client: str,
    lease_ends_at: float,
    takes_turn: bool = True,
) -> Turn:
    """Store a message and take the conversation's turn, unless that very message was sent before.

    One round trip; a second where somebody else makes the same conversation at that moment, or the
    first message of a conversation is over the quota.

    Args:
        database: where.
        caller: who says it.
        conversation_id: where it is said; made if there is none.
        request: what is said.
        turn_id: token of this attempt: made before its first try, the same in its retries.
        client: network address, by which an anonymous caller is counted.
        lease_ends_at: the function's deadline, on the clock of `time.monotonic()`, in seconds.
        takes_turn: False: only look whether it is answered by now.

    Raises:
        TurnLapsedError: first, what another attempt has left behind must be stored.
        Problem: one of REFUSALS.
        NotFound: the conversation is not the caller's.
        Problem: see `Database.run_as`.
    """
    attempt = _Attempt(
        caller, conversation_id, request, turn_id, client, lease_ends_at, takes_turn=takes_turn
    )
    try:
        decision, messages, tool_runs = await attempt.decide(database)
        if decision.verdict == "over_quota" and decision.title is None:
            # There was no conversation yet. Perhaps this very message, sent twice at once, has just
            # made it, and was the last that the quota allows: now it is there, to be joined.
            decision, messages, tool_runs = await attempt.decide(database)
    except psycopg.errors.UniqueViolation:
        # Somebody made it at this moment: now it is there. Or it is not this caller's.
        try:
            decision, messages, tool_runs = await attempt.decide(database)
        except psycopg.errors.UniqueViolation as error:
            raise NotFound from error
    if decision.verdict == "lapsed" and decision.held_turn_id is not None:
        raise TurnLapsedError(decision.held_turn_id)
    if refusal := REFUSALS.get(decision.verdict):
        headers = decision.quota.headers() if decision.quota else {}
        raise refusal(retry_after_seconds=_retry_after(decision), headers=headers)
    question = next(message for message in reversed(messages) if message.role == "user")
    return Turn(
        id=turn_id,
        held_id=decision.held_turn_id,
        verdict=decision.verdict,
        caller=caller,
        conversation_id=conversation_id,
        title=decision.title,
        question=question,
        messages=[message for message in messages if message.id <= question.id],
        answer=next((each for each in messages if each.reply_to == question.id), None),
        quota=decision.quota,
        tool_runs=tool_runs,
    )


def _retry_after(decision: Decision) -> float | None:
    """Return when it is worth trying again, in seconds; None: that is not known."""
    if decision.verdict == "over_quota" and decision.quota:
        return decision.quota.retry_after_seconds
    if decision.verdict != "turn_in_progress":
        return None
    return min(decision.lease_remaining_seconds or PATIENCE, PATIENCE)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What begin_turn is asked, and asked again."""

    caller: Caller
    conversation_id: UUID
    request: "ChatRequest"
    turn_id: UUID
    client: str
    lease_ends_at: float
    takes_turn: bool

    async def decide(self, database: Database) -> Begun:
        """Run the step of begin_turn, and return its decision and what the turn reads.

        Raises:
            UniqueViolation: the conversation was made by somebody else, now or long ago.
        """
        reachable = self.caller.reachable(self.conversation_id)
        calls = self._calls()
        if self.caller.user_id is None:
            [decision], messages = await database.run_as(self.caller, reachable, *calls)
            return decision, messages, []
        remember = remember_user(self.caller)
        _, [decision], messages, tool_runs = await database.run_as(
            self.caller, reachable, remember, *calls, self._runs_call()
        )
        return decision, messages, tool_runs

    def _runs_call(self) -> Call[ToolRun]:
        return LIST_TOOL_RUNS(
            conversation_id=self.conversation_id,
            user_id=self.caller.user_id,
            turn_id=self.turn_id,
        )

    def _calls(self) -> BeginCalls:
        chosen, request = settings(), self.request
        whose = {"conversation_id": self.conversation_id, "user_id": self.caller.user_id}
        limits = {"retention_days": chosen.retention_days, "now": None}
        return (
            BEGIN_TURN(
                **whose,
                **limits,
                message_id=request.message_id,
                content=request.text,
                files=jsonb(request.files),
                metadata=jsonb(request.metadata),
                replaced_message_id=request.replaced_message_id,
                regenerates=request.regenerates,
                answer_message_id=request.answer_message_id,
                title=title_of(request.text or ""),
                turn_id=self.turn_id,
                # When it is sent: to wait for a connection must not make the lease outlast us.
                lease_seconds=lambda: self.lease_ends_at - time.monotonic(),
                takes_turn=self.takes_turn,
                max_messages=chosen.max_conversation_messages,
                quota_subject=subject_of(self.caller, self.client),
                messages_per_minute=chosen.messages_per_minute,
                messages_per_day=chosen.messages_per_day,
            ),
            LIST_TURN_MESSAGES(
                **whose,
                **limits,
                turn_id=self.turn_id,
                message_id=request.message_id,
                history_messages=chosen.history_messages,
            ),
        )
