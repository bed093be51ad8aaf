"""Turns: a question taken, answered once, and given back. The SQL decides; this calls it.

A turn is a lease on the conversation, held under a token of its own for each attempt, which ends by
itself at the function's deadline. Whoever has lost it writes nothing.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import psycopg

from lib.callers import Caller
from lib.chat_requests import ChatRequest
from lib.conversations import title_of
from lib.database import Database
from lib.messages import Message
from lib.problems import (
    AccountInactive,
    AccountUnknown,
    AnswerNotStored,
    ConversationArchived,
    ConversationFull,
    ConversationMovedOn,
    MessageIdTaken,
    NotFound,
    NothingToAnswer,
    Problem,
    TurnInProgress,
)
from lib.settings import settings
from lib.statements import Call, Statement


@dataclass(frozen=True, slots=True)
class Decision:
    """The row of begin_turn."""

    verdict: str
    lease_remaining_seconds: float | None
    title: str | None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The row of finish_turn."""

    id: int
    created_at: datetime
    title: str | None


@dataclass(frozen=True, slots=True)
class ConversationId:
    """The row of lock_conversation and of release_turn."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of remember_user, which says nothing."""

    remember_user: object


REMEMBER_USER = Statement("remember_user", Nothing)
LOCK_CONVERSATION = Statement("lock_conversation", ConversationId)
BEGIN_TURN = Statement("begin_turn", Decision)
LIST_TURN_MESSAGES = Statement("list_turn_messages", Message)
FINISH_TURN = Statement("finish_turn", StoredAnswer)
RELEASE_TURN = Statement("release_turn", ConversationId)

type BeginCalls = tuple[Call[ConversationId], Call[Decision], Call[Message]]

# What a client is told to wait at most before it tries again, in seconds: most answers end long
# before their lease.
PATIENCE = 5.0

REFUSALS: dict[str, type[Problem]] = {
    "inactive": AccountInactive,
    "contended": NotFound,
    "turn_in_progress": TurnInProgress,
    "moved_on": ConversationMovedOn,
    "archived": ConversationArchived,
    "full": ConversationFull,
    "message_id_taken": MessageIdTaken,
    "nothing_to_answer": NothingToAnswer,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and what is to become of it.

    Attributes:
        id: token of this attempt.
        verdict: `taken`, `answered`, `being_answered` or `unanswered`; see begin_turn.sql.
        caller: whose conversation it is.
        conversation_id: which.
        title: the conversation's, when the turn began.
        question: the user message.
        messages: what is said up to the question, oldest first, the question last.
        answer: the stored answer, where the verdict is `answered`.
    """

    id: UUID
    verdict: str
    caller: Caller
    conversation_id: UUID
    title: str | None
    question: Message
    messages: list[Message]
    answer: Message | None


async def begin_turn(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    request: ChatRequest,
    *,
    turn_id: UUID,
    lease_ends_at: float,
    takes_turn: bool = True,
) -> Turn:
    """Store a message and take the conversation's turn, unless that very message was sent before.

    One round trip; a second where somebody else makes the same conversation at that moment.

    Args:
        database: where.
        caller: who says it.
        conversation_id: where it is said; made if there is none.
        request: what is said.
        turn_id: token of this attempt: made before its first try, the same in its retries.
        lease_ends_at: the function's deadline, on the clock of `time.monotonic()`, in seconds.
        takes_turn: False: only look whether it is answered by now.

    Raises:
        Problem: one of REFUSALS.
        DatabaseUnavailable: see `Database.run`.
    """
    calls = _begin_calls(caller, conversation_id, request, turn_id, lease_ends_at, takes_turn)
    decision, messages = await _decide(database, caller, calls)
    if decision.verdict == "contended":
        decision, messages = await _decide(database, caller, calls)
    if refusal := REFUSALS.get(decision.verdict):
        raise refusal(retry_after_seconds=_retry_after(decision))
    question = next(message for message in reversed(messages) if message.role == "user")
    return Turn(
        id=turn_id,
        verdict=decision.verdict,
        caller=caller,
        conversation_id=conversation_id,
        title=decision.title,
        question=question,
        messages=[message for message in messages if message.id <= question.id],
        answer=next((each for each in messages if each.reply_to == question.id), None),
    )


def _retry_after(decision: Decision) -> float | None:
    """Return when it is worth trying again, in seconds: when somebody else's turn will be over."""
    if decision.verdict != "turn_in_progress":
        return None
    return min(decision.lease_remaining_seconds or PATIENCE, PATIENCE)


async def finish_turn(
    database: Database, turn: Turn, answer: Message, title: str | None
) -> tuple[Message, str | None]:
    """Store the answer and give the turn back.

    One round trip; may be repeated while it is unknown whether it arrived.

    Args:
        database: where.
        turn: a turn that was taken.
        answer: what came of it; its `id` and times are not known yet.
        title: the model's, for the conversation; None: it keeps the one that it has, as it does if
            that is not the automatic one any more.

    Returns:
        The answer as it is stored, and the conversation's title as it is now.

    Raises:
        AnswerNotStored: the lease was lost, or the conversation is gone.
        DatabaseUnavailable: see `Database.run`; it may or may not be stored.
    """
    whose = {"conversation_id": turn.conversation_id, "user_id": turn.caller.user_id}
    _, stored = await database.run(
        # First, as in begin_turn: a repeated finish_turn that waited for its own first try in the
        # very statement would not see what that stored.
        LOCK_CONVERSATION(**whose),
        FINISH_TURN(
            **whose,
            turn_id=turn.id,
            answer_message_id=answer.message_id,
            question_id=turn.question.id,
            content=answer.content,
            finish_reason=answer.finish_reason,
            model_name=answer.model_name,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            title=title,
            first_title=title_of(turn.question.content),
            now=None,
        ),
    )
    if not stored:
        raise AnswerNotStored
    times = {"created_at": stored[0].created_at, "updated_at": stored[0].created_at}
    return replace(answer, id=stored[0].id, **times), stored[0].title


async def release_turn(database: Database, turn: Turn) -> None:
    """Give the turn back without an answer. One round trip.

    Raises:
        DatabaseUnavailable: see `Database.run`; the lease then ends at the function's deadline.
    """
    await database.run(
        RELEASE_TURN(
            conversation_id=turn.conversation_id, user_id=turn.caller.user_id, turn_id=turn.id
        )
    )


async def _decide(
    database: Database, caller: Caller, calls: BeginCalls
) -> tuple[Decision, list[Message]]:
    if caller.user_id is None:
        _, [decision], messages = await database.run(*calls)
    else:
        remember = REMEMBER_USER(
            user_id=caller.user_id, user_email=caller.email, user_name=caller.name
        )
        try:
            _, _, [decision], messages = await database.run(remember, *calls)
        except psycopg.errors.NotNullViolation as error:
            # An application's own `users`, whose rows need more than a token says.
            raise AccountUnknown from error
    return decision, messages


def _begin_calls(
    caller: Caller,
    conversation_id: UUID,
    request: ChatRequest,
    turn_id: UUID,
    lease_ends_at: float,
    takes_turn: bool,  # noqa: FBT001 (passed on)
) -> BeginCalls:
    chosen = settings()
    whose = {"conversation_id": conversation_id, "user_id": caller.user_id}
    return (
        LOCK_CONVERSATION(**whose),
        BEGIN_TURN(
            **whose,
            message_id=request.message_id,
            content=request.text,
            replaced_message_id=request.replaced_message_id,
            regenerates=request.regenerates,
            answer_message_id=request.answer_message_id,
            title=title_of(request.text or ""),
            turn_id=turn_id,
            # When it is sent: to wait for a connection must not make the lease outlast us.
            lease_seconds=lambda: lease_ends_at - time.monotonic(),
            takes_turn=takes_turn,
            max_messages=chosen.max_conversation_messages,
            retention_days=chosen.retention_days,
            now=None,
        ),
        LIST_TURN_MESSAGES(
            **whose,
            turn_id=turn_id,
            message_id=request.message_id,
            history_messages=chosen.history_messages,
            retention_days=chosen.retention_days,
            now=None,
        ),
    )
