"""The end of a turn: store its answer, or release it without one."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from lib.conversations.conversation import LOCK_CONVERSATION, ConversationId, title_of
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.problems import AnswerNotStored
from lib.runtime.counting import note_answer
from lib.texts import json_text
from lib.turns.turn import Turn


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The row of finish_turn.

    Attributes:
        id: `chat_messages.id` of the answer.
        created_at: when it was stored.
        title: the conversation's title after that; None: it has none.
    """

    id: int
    created_at: datetime
    title: str | None


FINISH_TURN = Statement("turns/finish_turn", StoredAnswer)
RELEASE_TURN = Statement("turns/release_turn", ConversationId)


@dataclass(frozen=True, slots=True)
class UnstoredParts:
    """The parts of an answer's stream that are in no batch, to be stored with the answer.

    Attributes:
        stored_parts: number of parts that are known to be in batches.
        parts: the parts after them, up to the last one of the model.
        title_parts: the parts that show a new title, stored if the conversation takes the title.
        last_parts: the parts that end the stream.
    """

    stored_parts: int
    parts: bytes
    title_parts: bytes
    last_parts: bytes


@dataclass(frozen=True, slots=True)
class TurnKey:
    """The turn that ends, and its question.

    Attributes:
        id: token of the attempt.
        conversation_id: id of the conversation.
        user_id: the conversation's owner; None: anonymous.
        question_id: `chat_messages.id` of the question.
        question: the question's text.
    """

    id: UUID
    conversation_id: UUID
    user_id: str | None
    question_id: int
    question: str


async def finish_turn(
    database: Database,
    turn: Turn,
    answer: Message,
    title: str | None,
    rest: UnstoredParts,
    *,
    refusal: str | None = None,
) -> tuple[Message, str | None]:
    """Store the answer and give the turn back.

    One round trip. Safe to repeat when a lost connection leaves it open whether the answer was
    stored.

    Args:
        database: where the answer is stored.
        turn: the turn, with the verdict `taken`.
        answer: the answer; the database sets its `id` and times.
        title: the model's title for the conversation, which takes it in place of the automatic
            one only; None: the conversation keeps its title.
        rest: the parts of the answer's stream that are not stored yet.
        refusal: code of the problem for which the provider refused the question, after a step that
            it had accepted; None: it did not.

    Returns:
        The answer as stored, and the conversation's title after that.

    Raises:
        AnswerNotStored: when the attempt has lost its lease, or the conversation was deleted.
        DatabaseUnavailable: see `Database.run`; the answer may or may not be stored.
    """
    key = TurnKey(
        turn.id,
        turn.conversation_id,
        turn.caller.user_id,
        turn.question.id,
        turn.question.content,
    )
    rows = await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        finish_call(key, answer, title, rest, refusal=refusal),
    )
    if not rows:
        raise AnswerNotStored
    [stored] = rows
    note_answer(answer.finish_reason, answer.prompt_tokens, answer.completion_tokens)
    times = {"created_at": stored.created_at, "updated_at": stored.created_at}
    return replace(answer, id=stored.id, **times), stored.title


def finish_call(
    key: TurnKey,
    answer: Message,
    title: str | None,
    rest: UnstoredParts,
    *,
    refusal: str | None = None,
) -> Call[StoredAnswer]:
    """Return the call that stores an answer and gives the turn back.

    Args:
        key: the turn and its question.
        answer: see `finish_turn`.
        title: likewise.
        rest: likewise.
        refusal: likewise.
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
        tool_calls=json_text(answer.tool_calls),
        provider_state=json_text(answer.provider_state),
        persona=answer.persona,
        tone=answer.tone,
        behavior=answer.behavior,
        context_type=answer.context_type,
        signal_strength=answer.signal_strength,
        context_clarity=answer.context_clarity,
        needs_knowledge=answer.needs_knowledge,
        refusal=refusal,
        title=title,
        first_title=title_of(key.question),
        stored_parts=rest.stored_parts,
        parts=rest.parts.decode(),
        title_parts=rest.title_parts.decode(),
        last_parts=rest.last_parts.decode(),
        now=None,
    )


async def release_turn(database: Database, turn: Turn, *, refusal: str | None = None) -> None:
    """Give the turn back without an answer. One round trip.

    Args:
        database: the database of the turn.
        turn: the turn, with the verdict `taken`.
        refusal: code of the problem for which the provider refused the question, so that later
            requests leave it out; None: it did not.

    Raises:
        DatabaseUnavailable: see `Database.run`; the turn then ends with its lease.
    """
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        *release_calls(
            turn.conversation_id,
            turn.caller.user_id,
            turn.id,
            question_id=turn.question.id if refusal else None,
            refusal=refusal,
        ),
    )


def release_calls(
    conversation_id: UUID,
    user_id: str | None,
    turn_id: UUID,
    *,
    question_id: int | None = None,
    refusal: str | None = None,
) -> tuple[Call[ConversationId], Call[ConversationId]]:
    """Return the calls of the step that gives a turn back without an answer."""
    conversation = {"conversation_id": conversation_id, "user_id": user_id}
    release = RELEASE_TURN(
        **conversation, turn_id=turn_id, question_id=question_id, refusal=refusal
    )
    return LOCK_CONVERSATION(**conversation), release
