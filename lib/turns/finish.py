"""How a turn ends: its answer is stored, or it is given back without one."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from lib.conversations.conversation import LOCK_CONVERSATION, ConversationId, title_of
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.problems import AnswerNotStored
from lib.runtime.counting import note_answer
from lib.texts import jsonb
from lib.turns.turn import Turn


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The row of finish_turn."""

    id: int
    created_at: datetime
    title: str | None


FINISH_TURN = Statement("turns/finish_turn", StoredAnswer)
RELEASE_TURN = Statement("turns/release_turn", ConversationId)


@dataclass(frozen=True, slots=True)
class Rest:
    """What of an answer's stream is not in batches yet, to be stored with the answer.

    Attributes:
        stored_parts: how many parts are known to be in batches.
        parts: those after them, up to the end of what the model said.
        title_parts: what then tells of a new title, should the conversation take it.
        last_parts: what ends the stream.
    """

    stored_parts: int
    parts: bytes
    title_parts: bytes
    last_parts: bytes


@dataclass(frozen=True, slots=True)
class TurnKey:
    """Which turn ends, and of whose question.

    Attributes:
        id: token of the attempt.
        conversation_id: in which conversation.
        user_id: whose; None: anonymous.
        question_id: number of the question.
        question: its text.
    """

    id: UUID
    conversation_id: UUID
    user_id: str | None
    question_id: int
    question: str


async def finish_turn(
    database: Database, turn: Turn, answer: Message, title: str | None, rest: Rest
) -> tuple[Message, str | None]:
    """Store the answer and give the turn back.

    One round trip; may be repeated while it is unknown whether it arrived.

    Args:
        database: where.
        turn: a turn that was taken.
        answer: what came of it; its `id` and times are not known yet.
        title: the model's, for the conversation; None: it keeps the one that it has, as it does if
            that is not the automatic one any more.
        rest: of the answer's stream.

    Returns:
        The answer as it is stored, and the conversation's title as it is now.

    Raises:
        AnswerNotStored: the lease was lost, or the conversation is gone.
        DatabaseUnavailable: see `Database.run`; it may or may not be stored.
    """
    key = TurnKey(
        turn.id,
        turn.conversation_id,
        turn.caller.user_id,
        turn.question.id,
        turn.question.content,
    )
    stored = await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        finish_call(key, answer, title, rest),
    )
    if not stored:
        raise AnswerNotStored
    note_answer(answer.finish_reason, answer.prompt_tokens, answer.completion_tokens)
    times = {"created_at": stored[0].created_at, "updated_at": stored[0].created_at}
    return replace(answer, id=stored[0].id, **times), stored[0].title


def finish_call(key: TurnKey, answer: Message, title: str | None, rest: Rest) -> Call[StoredAnswer]:
    """Return the call that stores an answer and gives the turn back.

    Args:
        key: which turn.
        answer: see `finish_turn`.
        title: likewise.
        rest: likewise.
    """
    return FINISH_TURN(
        conversation_id=key.conversation_id,
        user_id=key.user_id,
        turn_id=key.id,
        answer_message_id=answer.message_id,
        question_id=key.question_id,
        content=answer.content,
        finish_reason=answer.finish_reason,
        model_name=answer.model_name,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        tool_calls=jsonb(answer.tool_calls),
        persona=answer.persona,
        tone=answer.tone,
        behavior=answer.behavior,
        context_type=answer.context_type,
        signal_strength=answer.signal_strength,
        context_clarity=answer.context_clarity,
        needs_knowledge=answer.needs_knowledge,
        title=title,
        first_title=title_of(key.question),
        stored_parts=rest.stored_parts,
        parts=rest.parts.decode(),
        title_parts=rest.title_parts.decode(),
        last_parts=rest.last_parts.decode(),
        now=None,
    )


async def release_turn(database: Database, turn: Turn) -> None:
    """Give the turn back without an answer. One round trip.

    Raises:
        DatabaseUnavailable: see `Database.run`; the lease then ends at the function's deadline.
    """
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        *release_calls(turn.conversation_id, turn.caller.user_id, turn.id),
    )


def release_calls(
    conversation_id: UUID, user_id: str | None, turn_id: UUID
) -> tuple[Call[ConversationId], Call[ConversationId]]:
    """Return the calls of the step that gives a turn back without an answer."""
    whose = {"conversation_id": conversation_id, "user_id": user_id}
    return LOCK_CONVERSATION(**whose), RELEASE_TURN(**whose, turn_id=turn_id)
