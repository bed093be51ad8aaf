"""The Python face of begin_turn: its verdict becomes a turn or a problem.

The database decides (sql/queries/turns/begin_turn.sql). A turn is a lease on the conversation,
which ends by itself soon after the attempt has died. Each attempt holds it under a token of its
own, and an attempt that has lost the lease writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, assert_never
from uuid import UUID

import psycopg

from lib.conversations.conversation import retry_after, title_of
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Call, Statement
from lib.files.file import FileOwner, MessageFiles, message_files
from lib.files.limits import told_limits
from lib.files.storing import StoredFiles, store_call
from lib.identity.callers import Caller
from lib.models import Model
from lib.problems import (
    ConversationArchived,
    ConversationFull,
    ConversationMovedOn,
    MessageIdTaken,
    NotFound,
    NothingToAnswer,
    QuotaExceeded,
    TurnInProgress,
)
from lib.settings import settings
from lib.texts import json_text, jsonb
from lib.turns.models import models_for
from lib.turns.quota import Quota, Refusal, Subject, model_subject, subjects_of
from lib.turns.tool_runs import ToolRun
from lib.turns.turn import (
    NO_PAST,
    Past,
    Turn,
    TurnLapsedError,
    TurnVerdict,
    WindowMessage,
    lease_seconds,
)

if TYPE_CHECKING:
    from lib.turns.request import ChatRequest

# All that begin_turn can decide. tests/queries/turns/test_begin_turn_verdicts.py compares it with
# the function's text.
Verdict = Literal[
    TurnVerdict,
    "lapsed",
    "turn_in_progress",
    "moved_on",
    "archived",
    "full",
    "message_id_taken",
    "nothing_to_answer",
    "over_quota",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """The row of begin_turn."""

    quota_number: int | None
    quota_refusal: Refusal | None
    minute_remaining: int | None
    minute_reset_seconds: float | None
    day_remaining: int | None
    day_reset_seconds: float | None
    held_turn_id: UUID | None
    verdict: Verdict
    may_ask_title: bool
    lease_remaining_seconds: float | None
    title: str | None
    tool_runs: list[dict[str, Any]] | None
    model: str
    instructions: str | None
    user_instructions: str | None

    def quota(self, subjects: Sequence[Subject]) -> Quota | None:
        """Return the quota after this request; None: the request was not counted.

        Args:
            subjects: those that the request was to be counted for.
        """
        if (
            self.quota_number is None
            or self.minute_remaining is None
            or self.minute_reset_seconds is None
            or self.day_remaining is None
            or self.day_reset_seconds is None
        ):
            return None
        return Quota(
            subject=subjects[self.quota_number - 1],
            refusal=self.quota_refusal,
            minute_remaining=self.minute_remaining,
            minute_reset_seconds=self.minute_reset_seconds,
            day_remaining=self.day_remaining,
            day_reset_seconds=self.day_reset_seconds,
        )


BEGIN_TURN = Statement("turns/begin_turn", Decision, is_entrance=True)
LIST_TURN_MESSAGES = Statement("turns/list_turn_messages", WindowMessage)
# The decision, and the messages up to the question and its answer.
type DecisionStep = tuple[Decision, list[WindowMessage]]


async def begin_turn(
    database: Database,
    caller: Caller,
    conversation_id: UUID,
    request: "ChatRequest",
    *,
    turn_id: UUID,
    deadline: float,
    takes_turn: bool = True,
) -> Turn:
    """Store a message and take the conversation's turn, unless the same message came before.

    One round trip. A second one where another session creates the same conversation at that moment,
    or where the first message of a conversation is over the quota.

    Args:
        database: the database that decides.
        caller: the sender of the message.
        conversation_id: the message's conversation, created if it does not exist.
        request: the message, or the answer to make again.
        turn_id: token of this attempt: made before its first try, the same in its retries.
        deadline: of the function, on the clock of `time.monotonic()`, in seconds.
        takes_turn: False: only look whether the message is answered by now.

    Raises:
        TurnLapsedError: when the parts that a dead attempt has left must be stored first.
        TurnInProgress: when another message of the conversation is being answered.
        ConversationMovedOn: when the message was never answered, and newer ones are stored.
        ConversationArchived: when the conversation takes no new messages.
        ConversationFull: when the conversation holds MAX_CONVERSATION_MESSAGES messages.
        MessageIdTaken: when the message's id is the id of another message.
        NothingToAnswer: when an answer is to be made again, and there is no question.
        FileNotStored: when a link in the message is of no file of the caller.
        FilesTooLarge: when the files of the message have more than 14 MB together.
        FileStorageFull: when the caller would have more than MAX_USER_BYTES of files.
        InvalidRequest: when the request asks for a model that the caller may not use, or for what
            no model of the caller's can do.
        QuotaExceeded: when the caller has no answers left; nothing was stored.
        StorageQuotaExceeded: when the message is larger than what the caller may still store today.
        TokenQuotaExceeded: when the caller's answers have cost the tokens of a day.
        NotFound: when the caller does not reach the conversation, or may not create it.
        Problem: see `Database.run_as`.
    """
    owner = FileOwner(caller.user_id, conversation_id)
    attempt = _Attempt(
        caller,
        subjects_of(caller),
        models_for(caller, request),
        conversation_id,
        request,
        turn_id,
        deadline,
        takes_turn,
        owner,
        message_files(owner, request.files),
    )
    decision, messages = await _decide(database, attempt)
    match decision.verdict:
        case "taken" | "answered" | "being_answered" | "unanswered" as verdict:
            return attempt.turn(verdict, decision, messages)
        case "lapsed":
            assert decision.held_turn_id is not None
            raise TurnLapsedError(decision.held_turn_id)
        case "turn_in_progress":
            wait_seconds = retry_after(decision.lease_remaining_seconds)
            raise TurnInProgress(retry_after_seconds=wait_seconds)
        case "moved_on":
            raise ConversationMovedOn
        case "archived":
            raise ConversationArchived
        case "full":
            raise ConversationFull
        case "message_id_taken":
            raise MessageIdTaken
        case "nothing_to_answer":
            raise NothingToAnswer
        case "over_quota":
            quota = attempt.quota(decision)
            raise quota.problem() if quota else QuotaExceeded
        case _:
            assert_never(decision.verdict)


async def _decide(database: Database, attempt: "_Attempt") -> DecisionStep:
    """Run the step of begin_turn; a second time if it met a conversation that is just created.

    Raises:
        NotFound: when the conversation belongs to another caller.
    """
    try:
        step = await attempt.decide(database)
        decision, _ = step
        if decision.verdict == "over_quota" and decision.title is None:
            # There was no conversation, or its title has expired. The same message, sent twice at
            # once, may have just created it and used up the quota: then the second try joins it.
            return await attempt.decide(database)
    except psycopg.errors.UniqueViolation:
        # Another session created the conversation at this moment, or it is another caller's.
        try:
            return await attempt.decide(database)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.table_name != "conversations":
                raise
            raise NotFound from error
    return step


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt at a message, with the parameters that its retries share."""

    caller: Caller
    subjects: Sequence[Subject]
    models: Sequence[Model]
    conversation_id: UUID
    request: "ChatRequest"
    turn_id: UUID
    deadline: float
    takes_turn: bool
    owner: FileOwner
    files: MessageFiles

    async def decide(self, database: Database) -> DecisionStep:
        """Run the step of begin_turn; return its decision and the rows that the turn needs.

        Raises:
            UniqueViolation: when the conversation belongs to another caller, or another session
                creates it at this moment.
        """
        reachable = self.caller.reachable(self.conversation_id)
        [decision], *_, messages = await database.run_as(
            self.caller, reachable, self._begin_call(), *self._file_calls(), self._messages_call()
        )
        return decision, messages

    def turn(
        self,
        verdict: TurnVerdict,
        decision: Decision,
        messages: list[WindowMessage],
    ) -> Turn:
        """Return the turn that a decision gives to this attempt."""
        question = next(message for message in reversed(messages) if message.role == "user")
        answers = (message for message in messages if message.reply_to == question.id)
        return Turn(
            id=self.turn_id,
            held_id=decision.held_turn_id,
            verdict=verdict,
            caller=self.caller.following(),
            conversation_id=self.conversation_id,
            title=decision.title,
            question=question,
            messages=[message for message in messages if message.id <= question.id],
            answer=next(answers, None),
            quota=self.quota(decision),
            tool_runs=[ToolRun(**run) for run in decision.tool_runs or []],
            may_ask_title=decision.may_ask_title,
            quota_subjects=tuple(subject.name for subject in self.subjects),
            model=decision.model,
            instructions=decision.instructions,
            user_instructions=decision.user_instructions,
            past=_past_of(messages),
        )

    def quota(self, decision: Decision) -> Quota | None:
        """Return the quota after this request; None: the request was not counted."""
        [model] = [model for model in self.models if model.name == decision.model]
        counted = [model_subject(self.caller, model)] if model.messages_per_day else []
        return decision.quota([*self.subjects, *counted])

    def _begin_call(self) -> Call[Decision]:
        configuration, request, subjects = settings(), self.request, self.subjects
        return BEGIN_TURN(
            user_email=self.caller.email,
            user_name=self.caller.name,
            conversation_id=self.conversation_id,
            user_id=self.caller.user_id,
            message_id=request.message_id,
            content=request.text,
            files=jsonb(self.files.stored),
            file_bytes=self.files.new_bytes,
            steps=json_text(request.steps),
            metadata=jsonb(request.metadata),
            replaced_message_id=request.replaced_message_id,
            regenerates=request.regenerates,
            answer_message_id=request.answer_message_id,
            title=title_of(request.text or ""),
            turn_id=self.turn_id,
            # Computed when the statement is sent: a wait for a connection must not make the lease
            # outlast the function.
            lease_seconds=lambda: lease_seconds(self.deadline),
            takes_turn=self.takes_turn,
            max_messages=configuration.max_conversation_messages,
            quota_subjects=[subject.name for subject in subjects],
            messages_per_minute=[subject.messages_per_minute for subject in subjects],
            messages_per_day=[subject.messages_per_day for subject in subjects],
            bytes_per_day=[subject.bytes_per_day for subject in subjects],
            tokens_per_day=[subject.tokens_per_day for subject in subjects],
            model=request.model,
            models=[model.name for model in self.models],
            model_subjects=[
                model_subject(self.caller, model).name if model.messages_per_day else ""
                for model in self.models
            ],
            model_messages_per_day=[model.messages_per_day for model in self.models],
            persona=request.style.persona,
            tone=request.style.tone,
            behavior=request.style.behavior,
            retention_days=configuration.retention_days,
            now=None,
        )

    def _file_calls(self) -> list[Call[StoredFiles]]:
        """Return the call that stores the files of the message, if it has any to store."""
        files, message_id = self.files.new, self.request.message_id
        if not files or message_id is None:
            return []
        return [store_call(self.owner, message_id, files, self.turn_id)]

    def _messages_call(self) -> Call[WindowMessage]:
        return _messages_call(
            self.caller, self.conversation_id, self.turn_id, self.request.message_id
        )


async def read_window(database: Database, turn: Turn) -> tuple[list[Message], Past]:
    """Read the messages of a turn again, and what stands before them. One round trip.

    Args:
        database: the database of the turn.
        turn: the turn, which this attempt holds.

    Raises:
        Problem: see `Database.run_as`.
    """
    reachable = turn.caller.reachable(turn.conversation_id)
    call = _messages_call(turn.caller, turn.conversation_id, turn.id, turn.question.message_id)
    messages = await database.run_as(turn.caller, reachable, call)
    return [message for message in messages if message.id <= turn.question.id], _past_of(messages)


def _messages_call(
    caller: Caller, conversation_id: UUID, turn_id: UUID, message_id: str | None
) -> Call[WindowMessage]:
    return LIST_TURN_MESSAGES(
        conversation_id=conversation_id,
        user_id=caller.user_id,
        turn_id=turn_id,
        message_id=message_id,
        history_messages=settings().history_messages,
        **told_limits(settings().max_prompt_images),
        reads_summary=settings().summaries == "on",
        retention_days=settings().retention_days,
        now=None,
    )


def _past_of(messages: Sequence[WindowMessage]) -> Past:
    first = messages[0] if messages else None
    if first is None or first.has_gap is None:
        return NO_PAST
    return Past(first.summary, first.summary_id or 0, first.summarized_at, first.has_gap)
