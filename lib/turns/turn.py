"""A turn, as the code that answers holds it."""

from dataclasses import dataclass
from uuid import UUID

from lib.conversations.message import Message
from lib.identity.callers import Caller
from lib.turns.quota import Quota
from lib.turns.tool_runs import ToolRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and what is to become of it.

    Attributes:
        id: token of this attempt.
        held_id: token of the attempt that held the turn before this one came; None: none did.
        verdict: `taken`, `answered`, `being_answered` or `unanswered`; see begin_turn.sql.
        caller: whose conversation it is.
        conversation_id: which.
        title: the conversation's, when the turn began.
        question: the user message.
        messages: what is said up to the question, oldest first, the question last.
        answer: the stored answer, where the verdict is `answered`.
        quota: what is left of the caller's quota; None: this was not counted.
        tool_runs: what earlier attempts at this question have run.
    """

    id: UUID
    held_id: UUID | None
    verdict: str
    caller: Caller
    conversation_id: UUID
    title: str | None
    question: Message
    messages: list[Message]
    answer: Message | None
    quota: Quota | None
    tool_runs: list[ToolRun]


class TurnLapsedError(Exception):
    """The attempt that held the turn was ended before it could store what it has said.

    Attributes:
        turn_id: its token.
    """

    def __init__(self, turn_id: UUID) -> None:
        """Take its token."""
        super().__init__(f"the lease of the attempt {turn_id} has run out")
        self.turn_id = turn_id
