"""The end of a turn: store its answer, or release it without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import psycopg

from lib.conversations.conversation import LOCK_CONVERSATION, ConversationId, title_of
from lib.conversations.message import Message
from lib.conversations.parts import File
from lib.conversations.steps import Step
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.files.file import FileOwner, NewFile
from lib.files.storing import StoredFiles, store_call
from lib.identity.file_links import file_id_in
from lib.problems import AnswerNotStored
from lib.runtime.counting import note_answer
from lib.texts import json_text
from lib.turns.turn import Turn

# Of Postgres.
MAX_INTEGER = 2**31 - 1


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


@dataclass(frozen=True, slots=True)
class AddedCost:
    """The row of add_cost.

    Attributes:
        question_id: `chat_messages.id` of the question, which has the tokens; None: it is deleted.
    """

    question_id: int | None


class StoredPartsLostError(Exception):
    """Batches of the answer's stream are missing, because the database has crashed."""


# Raised by finish_turn.
PARTS_LOST = "PA013"
FINISH_TURN = Statement("turns/finish_turn", StoredAnswer, is_entrance=True)
RELEASE_TURN = Statement("turns/release_turn", ConversationId)
ADD_COST = Statement("turns/add_cost", AddedCost)


@dataclass(frozen=True, slots=True)
class UnstoredParts:
    """The parts of an answer's stream that are in no batch, to be stored with the answer.

    Attributes:
        stored_parts: number of parts that are known to be in batches.
        parts: the parts after them, up to the last one of the model; this and the others in the
            form in which they are stored (`lib/streams/compact.py`).
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
        quota_subjects: the subjects whose quota counts the attempt's tokens.
    """

    id: UUID
    conversation_id: UUID
    user_id: str | None
    question_id: int
    question: str
    quota_subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionMarks:
    """The marks that an attempt leaves on its question.

    Attributes:
        refusal: code of the problem for which the provider refused the question, so that later
            requests leave it out; None: it did not.
        has_provider_failed: the provider itself failed the attempt, so the next one may be owed.
        paid_prompt_tokens: tokens that the attempt has cost beyond those of its stored answer.
        paid_completion_tokens: likewise.
    """

    refusal: str | None = None
    has_provider_failed: bool = False
    paid_prompt_tokens: int = 0
    paid_completion_tokens: int = 0

    def parameters(self) -> dict[str, object]:
        """Return the parameters of the statements that store the marks."""
        return {
            "refusal": self.refusal,
            "has_provider_failed": self.has_provider_failed,
            "paid_prompt_tokens": min(self.paid_prompt_tokens, MAX_INTEGER),
            "paid_completion_tokens": min(self.paid_completion_tokens, MAX_INTEGER),
        }


NO_MARKS = QuestionMarks()


async def finish_turn(
    database: Database,
    turn: Turn,
    answer: Message,
    title: str | None,
    rest: UnstoredParts,
    marks: QuestionMarks = NO_MARKS,
    files: Sequence[NewFile] = (),
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
        marks: of the question. It is marked as refused where the provider refused to go on after a
            step that it had accepted.
        files: of the answer; those without bytes are stored already.

    Returns:
        The answer as stored, and the conversation's title after that.

    Raises:
        AnswerNotStored: when the attempt has lost its lease, or the conversation was deleted.
        StoredPartsLostError: when `rest.stored_parts` are not all in batches. Nothing was stored:
            send all parts as the rest.
        DatabaseUnavailable: see `Database.run`; the answer may or may not be stored.
    """
    key = TurnKey(
        turn.id,
        turn.conversation_id,
        turn.caller.user_id,
        turn.question.id,
        turn.question.content,
        turn.quota_subjects,
    )
    call = finish_call(key, answer, title, rest, marks)
    reachable = turn.caller.reachable(turn.conversation_id)
    try:
        if files:
            stored_files = file_call(key, answer, files)
            rows, _ = await database.run_as(turn.caller, reachable, call, stored_files)
        else:
            rows = await database.run_as(turn.caller, reachable, call)
    except psycopg.Error as error:
        if error.sqlstate == PARTS_LOST:
            raise StoredPartsLostError from error
        raise
    if not rows:
        raise AnswerNotStored
    [stored] = rows
    note_answer(answer.finish_reason)
    times = {"created_at": stored.created_at, "updated_at": stored.created_at}
    return replace(answer, id=stored.id, **times), stored.title


def finish_call(
    key: TurnKey,
    answer: Message,
    title: str | None,
    rest: UnstoredParts,
    marks: QuestionMarks = NO_MARKS,
) -> Call[StoredAnswer]:
    """Return the call that stores an answer and gives the turn back.

    Args:
        key: the turn and its question.
        answer: see `finish_turn`.
        title: likewise.
        rest: likewise.
        marks: likewise.
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
        model=answer.model,
        requested_model=answer.requested_model,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        completion_tokens=answer.completion_tokens,
        reasoning_tokens=answer.reasoning_tokens,
        reasoning_seconds=answer.reasoning_seconds,
        tool_calls=json_text(answer.tool_calls),
        steps=json_text(answer.steps),
        provider_state=json_text(answer.provider_state),
        persona=answer.persona,
        tone=answer.tone,
        behavior=answer.behavior,
        context_type=answer.context_type,
        signal_strength=answer.signal_strength,
        context_clarity=answer.context_clarity,
        needs_knowledge=answer.needs_knowledge,
        **marks.parameters(),
        quota_subjects=list(key.quota_subjects),
        title=title,
        first_title=title_of(key.question),
        stored_parts=rest.stored_parts,
        parts=rest.parts.decode(),
        title_parts=rest.title_parts.decode(),
        last_parts=rest.last_parts.decode(),
        now=None,
    )


def shown_files(steps: list[Step]) -> list[NewFile]:
    """Return the files that an answer shows, each once, without their bytes."""
    shown = (part for step in steps for part in step.parts if isinstance(part, File))
    files = {file_id: file for file in shown if (file_id := file_id_in(file.url)) is not None}
    return [
        NewFile(id=file_id, media_type=file.media_type, filename=file.filename, data=None)
        for file_id, file in files.items()
    ]


def file_call(key: TurnKey, answer: Message, files: Sequence[NewFile]) -> Call[StoredFiles]:
    """Return the call, after `finish_call`, that notes which files the answer has.

    Args:
        key: the turn.
        answer: the answer.
        files: its files; those without bytes are stored already.
    """
    owner = FileOwner(key.user_id, key.conversation_id)
    return store_call(owner, answer.message_id, files)


async def release_turn(database: Database, turn: Turn, marks: QuestionMarks = NO_MARKS) -> bool:
    """Give the turn back without an answer. One round trip.

    Args:
        database: the database of the turn.
        turn: the turn, with the verdict `taken`.
        marks: of the question.

    Returns:
        Whether the attempt still held the turn; only then the question is marked.

    Raises:
        DatabaseUnavailable: see `Database.run`; the turn then ends with its lease.
    """
    _, released = await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        *release_calls(
            turn.conversation_id,
            turn.caller.user_id,
            turn.id,
            question_id=turn.question.id,
            marks=marks,
            quota_subjects=turn.quota_subjects,
        ),
    )
    return bool(released)


def release_calls(
    conversation_id: UUID,
    user_id: str | None,
    turn_id: UUID,
    *,
    question_id: int | None = None,
    marks: QuestionMarks = NO_MARKS,
    quota_subjects: tuple[str, ...] = (),
) -> tuple[Call[ConversationId], Call[ConversationId]]:
    """Return the calls of the step that gives a turn back without an answer."""
    conversation = {"conversation_id": conversation_id, "user_id": user_id}
    release = RELEASE_TURN(
        **conversation,
        turn_id=turn_id,
        question_id=question_id,
        **marks.parameters(),
        quota_subjects=list(quota_subjects),
        now=None,
    )
    return LOCK_CONVERSATION(**conversation), release


async def add_cost(
    database: Database, turn: Turn, prompt_tokens: int, completion_tokens: int
) -> None:
    """Count tokens that an attempt has cost after its turn was given back, or lost.

    One round trip. Tokens count again if that is lost on the way.

    Raises:
        Problem: see `Database.run_as`.
    """
    await database.run_as(
        turn.caller,
        turn.caller.reachable(turn.conversation_id),
        cost_call(turn, prompt_tokens, completion_tokens),
    )


def cost_call(turn: Turn, prompt_tokens: int, completion_tokens: int) -> Call[AddedCost]:
    """Return the call of `add_cost`."""
    return ADD_COST(
        conversation_id=turn.conversation_id,
        user_id=turn.caller.user_id,
        question_id=turn.question.id,
        paid_prompt_tokens=min(prompt_tokens, MAX_INTEGER),
        paid_completion_tokens=min(completion_tokens, MAX_INTEGER),
        quota_subjects=list(turn.quota_subjects),
        now=None,
    )
