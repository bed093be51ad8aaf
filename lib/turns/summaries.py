"""Summaries of the messages that leave the window: claimed, stored, or given up.

The database decides which attempt makes one (sql/queries/turns/claim_summary.sql), as it does for
answers.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from lib.conversations.conversation import LOCK_CONVERSATION
from lib.database.client import Database
from lib.database.statements import Statement
from lib.settings import settings
from lib.turns.finish import cost_call
from lib.turns.turn import Past, Turn

# The time that an attempt has for one summary. A killed one keeps others waiting no longer.
CLAIM_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The row of claim_summary.

    Attributes:
        is_claimed: this attempt may make the summary.
        lease_remaining_seconds: of the attempt that makes one at this moment; None: none does.
    """

    is_claimed: bool
    lease_remaining_seconds: float | None


@dataclass(frozen=True, slots=True)
class PastMessage:
    """A row of list_unsummarized.

    Attributes:
        id: `chat_messages.id`.
        role: its author.
        content: its text.
        steps: of a question: the column, which has the data of the page.
        tool_calls: the tools that ran for an answer, as JSON, or the beginning of it.
        file_names: of its files.
        is_mistake: its user has marked it as wrong.
        mistake_note: the reason.
        created_at: when it was stored.
        is_last: no later one is wanted.
    """

    id: int
    role: str
    content: str
    steps: list[list[dict[str, Any]]] | None
    tool_calls: str | None
    file_names: str | None
    is_mistake: bool
    mistake_note: str | None
    created_at: datetime
    is_last: bool


@dataclass(frozen=True, slots=True)
class SummarizedThrough:
    """The row of store_summary and of release_summary.

    Attributes:
        through_id: `chat_messages.id` up to which the summary reaches.
        created_at: when it was stored, or claimed.
    """

    through_id: int
    created_at: datetime


CLAIM_SUMMARY = Statement("turns/claim_summary", Claim)
LIST_UNSUMMARIZED = Statement("turns/list_unsummarized", PastMessage)
STORE_SUMMARY = Statement("turns/store_summary", SummarizedThrough)
RELEASE_SUMMARY = Statement("turns/release_summary", SummarizedThrough)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the messages one request for a summary may tell.

    Attributes:
        messages: messages at most.
        chars: characters of all of them at most; the first is told, however long.
    """

    messages: int
    chars: int


async def claim_summary(
    database: Database,
    turn: Turn,
    past: Past,
    through_id: int,
    *,
    claim_id: UUID,
    limits: Limits,
    takes_over: bool,
) -> tuple[Claim, list[PastMessage]]:
    """Claim the summary that goes on from another one, and read the messages for it.

    One round trip. An attempt that may not make it reads the messages for nothing, which is seldom.

    Args:
        database: the database of the turn.
        turn: the turn that needs it.
        past: the summary that it goes on from.
        through_id: `chat_messages.id` of the last message that it is to tell.
        claim_id: token of this attempt.
        limits: of the messages.
        takes_over: take over a running claim; only for an attempt that holds the turn.

    Raises:
        Problem: see `Database.run_as`.
    """
    known = _names(turn) | {"known_id": past.through_id, "through_id": through_id, "now": None}
    known["retention_days"] = settings().retention_days
    _, claims, messages = await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        LOCK_CONVERSATION(**_names(turn)),
        CLAIM_SUMMARY(
            **known, claim_id=claim_id, lease_seconds=CLAIM_SECONDS, takes_over=takes_over
        ),
        LIST_UNSUMMARIZED(
            **known,
            max_messages=limits.messages,
            max_chars=limits.chars,
        ),
    )
    # The conversation is deleted, or another user's by now.
    nobodys = Claim(is_claimed=False, lease_remaining_seconds=None)
    return (claims[0] if claims else nobodys), messages


async def store_summary(
    database: Database,
    turn: Turn,
    past: Past,
    made: Past,
    *,
    claim_id: UUID,
    oldest_at: datetime,
    model: str,
    cost: tuple[int, int] | None,
) -> Past | None:
    """Store a summary that this attempt has claimed. One round trip.

    Args:
        database: the database of the turn.
        turn: the turn that needs it.
        past: the summary that it goes on from.
        made: the summary.
        claim_id: token of this attempt.
        oldest_at: when the oldest of its messages was stored that the earlier one does not tell.
        model: the model that wrote it.
        cost: prompt and completion tokens to count with it; None: none.

    Returns:
        The summary as stored; None: the claim is another attempt's, or one of its messages was
        replaced or deleted meanwhile.

    Raises:
        Problem: see `Database.run_as`.
    """
    names = _names(turn)
    calls: list[Any] = [
        LOCK_CONVERSATION(**names),
        STORE_SUMMARY(
            **names,
            claim_id=claim_id,
            known_id=past.through_id,
            through_id=made.through_id,
            content=made.summary,
            oldest_at=oldest_at,
            model=model,
            now=None,
        ),
    ]
    if cost is not None:
        calls.append(cost_call(turn, *cost))
    reachable = turn.caller.reachable(turn.conversation_id)
    _, stored, *_ = await database.run_as(turn.caller, reachable, *calls)
    if not stored:
        return None
    return Past(made.summary, stored[0].through_id, stored[0].created_at, has_gap=made.has_gap)


async def release_summary(database: Database, turn: Turn, claim_id: UUID) -> None:
    """Give up a claim, so that the next turn need not wait for its end. One round trip.

    Raises:
        Problem: see `Database.run_as`.
    """
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        RELEASE_SUMMARY(**_names(turn), claim_id=claim_id),
    )


def _names(turn: Turn) -> dict[str, Any]:
    return {"conversation_id": turn.conversation_id, "user_id": turn.caller.user_id}
