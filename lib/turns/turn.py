"""A turn: one attempt at the answer to one question."""

import time
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from lib.conversations.message import Message
from lib.identity.callers import Caller
from lib.turns.quota import Quota
from lib.turns.tool_runs import ToolRun

# The verdicts of begin_turn (sql/queries/turns/begin_turn.sql) that are no refusal.
TurnVerdict = Literal["taken", "answered", "being_answered", "unanswered"]
# The attempt prolongs its lease while it lives (lib/answers/_batches.py), so this is how long a
# killed function blocks its conversation. Half of it is left then, and that is longer than a
# statement waits on a dead connection (ANSWER_TIMEOUT_SECONDS in lib/database/_pool.py).
LEASE_SECONDS = 24.0


def lease_seconds(deadline: float) -> float:
    """Return how long a lease lasts that is taken or prolonged now, in seconds.

    Args:
        deadline: of the function, on the clock of `time.monotonic()`, in seconds: no lease lasts
            longer.
    """
    return min(LEASE_SECONDS, deadline - time.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A stored question, the conversation up to it, and the attempt that may answer it.

    Attributes:
        id: token of this attempt.
        held_id: token of the attempt that held the turn before; None: the turn was free.
        verdict: `taken`: this attempt must answer; `answered`: `answer` is stored;
            `being_answered`: by the attempt `held_id`; `unanswered`: this attempt may not answer.
        caller: the conversation's owner.
        conversation_id: id of the conversation.
        title: the conversation's title when the turn began.
        question: the user message.
        messages: the messages up to the question, oldest first, the question last.
        answer: the stored answer to the question: the result where the verdict is `answered`, the
            answer to replace where this attempt must answer again; None: there is none.
        quota: the caller's quota after this request; None: this request was not counted.
        may_ask_title: this attempt may ask the model for a title: it has created the conversation,
            or repeats an attempt that the provider failed before the answer began.
        tool_runs: tools that earlier attempts at this question have run.
        quota_subjects: the subjects whose quota counts this attempt.
        model: name of the model that is to answer: the requested one, or the conversation's, or the
            caller's default.
        instructions: of the conversation; None: it has none.
        user_instructions: of its owner, for all conversations; None: there are none.
    """

    id: UUID
    held_id: UUID | None
    verdict: TurnVerdict
    caller: Caller
    conversation_id: UUID
    title: str | None
    question: Message
    messages: list[Message]
    answer: Message | None
    quota: Quota | None
    may_ask_title: bool
    tool_runs: list[ToolRun]
    quota_subjects: tuple[str, ...]
    model: str
    instructions: str | None
    user_instructions: str | None


class TurnLapsedError(Exception):
    """The attempt that held the turn died before it stored its answer.

    Attributes:
        turn_id: token of that attempt.
    """

    def __init__(self, turn_id: UUID) -> None:
        """Take the token of the dead attempt."""
        super().__init__(f"the lease of the attempt {turn_id} has run out")
        self.turn_id = turn_id
