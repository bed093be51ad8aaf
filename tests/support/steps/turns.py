"""The statements of turns for `tests/queries`, with the time as a parameter."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from lib.conversations.message import Message
from lib.database import acting
from lib.database.acting import NO_WALL, REMEMBER_USER
from lib.database.client import Database
from lib.database.statements import Call
from lib.files.limits import told_limits
from lib.identity.callers import Approach, Caller
from lib.settings import read_settings
from lib.turns.begin import BEGIN_TURN, LIST_TURN_MESSAGES, Verdict
from lib.turns.finish import FINISH_TURN, QuestionMarks, StoredAnswer, release_calls
from lib.turns.quota import Quota, Subject
from lib.turns.turn import WindowMessage

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_SECONDS = 60.0
# The limits of a subject, as begin_turn takes them.
LIMITS = ("messages_per_minute", "messages_per_day", "bytes_per_day", "tokens_per_day")
FIRST_TITLE = "A title"
TOKENS = {"prompt_tokens": 7, "completion_tokens": 4}
NO_UNSTORED_PARTS = {"stored_parts": 0, "parts": "", "title_parts": "", "last_parts": ""}
# Columns of an answer that are null unless its request or its analysis sets them.
UNKNOWN_COLUMNS = (
    "model",
    "requested_model",
    "cached_tokens",
    "reasoning_tokens",
    "reasoning_seconds",
    "tool_calls",
    "steps",
    "provider_state",
    "refusal",
    "persona",
    "tone",
    "behavior",
    "context_type",
    "signal_strength",
    "context_clarity",
    "needs_knowledge",
)


@dataclass(frozen=True, slots=True)
class Begun:
    """The outcome of begin_turn and list_turn_messages for one message.

    Attributes:
        held_turn_id: token of the attempt that held the turn before.
        verdict: see begin_turn.sql.
        lease_remaining_seconds: of a turn that was running.
        quota: the quota after the message, if it was counted.
        may_ask_title: the attempt may ask the model for a title.
        title: the conversation's title.
        messages: the rows of list_turn_messages.
        turn_id: token of the attempt.
        message_id: id of the message.
        conversation_id: the message's conversation.
        user_id: the sender; None: anonymous.
        quota_subjects: the subjects that count the message.
        model: name of the model that is to answer.
        instructions: of the conversation.
        user_instructions: of the user.
    """

    held_turn_id: UUID | None
    verdict: Verdict
    lease_remaining_seconds: float | None
    quota: Quota | None
    may_ask_title: bool
    title: str | None
    messages: list[WindowMessage]
    turn_id: UUID
    message_id: str | None
    conversation_id: UUID
    user_id: str | None
    quota_subjects: list[str]
    model: str
    instructions: str | None
    user_instructions: str | None

    @property
    def prompt(self) -> list[str]:
        """The texts up to the question, as the model gets them."""
        return [message.content for message in self.messages if message.id <= self.question.id]

    @property
    def texts(self) -> list[str]:
        """The texts of all rows, the question's answer among them."""
        return contents(self.messages)

    @property
    def question(self) -> Message:
        """The newest user message of the rows."""
        return [message for message in self.messages if message.role == "user"][-1]


@dataclass(slots=True)
class Turns:
    """A conversation of the test's own, and the clock of its statements.

    Attributes:
        database: the database, as the functions open it.
        conversation_id: the conversation, unless the test names another.
        now: the time for the statements.
    """

    database: Database
    conversation_id: UUID = field(default_factory=uuid4)
    now: datetime = NOON

    def wait(self, **duration: float) -> None:
        """Let time pass: `seconds=`, `days=` and the like."""
        self.now += timedelta(**duration)

    async def begin(
        self,
        content: str | None = "Hello!",
        *,
        message_id: str | None = "question-1",
        user_id: str | None = None,
        conversation_id: UUID | None = None,
        turn_id: UUID | None = None,
        **parameters: object,
    ) -> Begun:
        """Run the step of `begin_turn`; `parameters` are begin_turn's."""
        token = turn_id or uuid4()
        conversation_id = conversation_id or self.conversation_id
        conversation: dict[str, Any] = {"conversation_id": conversation_id, "user_id": user_id}
        retention = {"retention_days": 0, "now": self.now}
        begin: dict[str, Any] = {
            "message_id": message_id,
            "content": content,
            "files": None,
            "steps": None,
            "file_bytes": 0,
            "metadata": None,
            "replaced_message_id": None,
            "regenerates": False,
            "answer_message_id": None,
            "title": FIRST_TITLE,
            "turn_id": token,
            "lease_seconds": LEASE_SECONDS,
            "takes_turn": True,
            "max_messages": 1000,
            "model": None,
            "models": ["test-model"],
            "model_subjects": [""],
            "model_messages_per_day": [0],
            "persona": None,
            "tone": None,
            "behavior": None,
            "quota_subjects": user_id or "somebody",
            **dict.fromkeys(LIMITS, 0),
        }
        begin |= retention | parameters
        # One subject, unless the test names several.
        for name in ("quota_subjects", *LIMITS):
            begin[name] = begin[name] if isinstance(begin[name], list) else [begin[name]]
        if not any(limit for name in LIMITS for limit in begin[name]):
            begin |= {name: [] for name in ("quota_subjects", *LIMITS)}
        subjects = [
            Subject(name=name, kind="user", **dict(zip(LIMITS, limits, strict=True)))
            for name, *limits in zip(
                *(begin[name] for name in ("quota_subjects", *LIMITS)), strict=True
            )
        ]
        remember = REMEMBER_USER(
            user_id=user_id or "", user_email=None, user_name=None, token_issued_at=None
        )
        if user_id is not None:
            await self.database.run(remember)
        _, [decision], messages = await self.database.run(
            act_as(user_id, conversation_id, approach="create"),
            BEGIN_TURN(user_email=None, user_name=None, **conversation, **begin),
            LIST_TURN_MESSAGES(
                **conversation,
                turn_id=token,
                message_id=message_id,
                history_messages=20,
                **told_limits(10),
                reads_summary=True,
                **{name: begin[name] for name in retention},
            ),
        )
        # The model's own subject comes last.
        number = begin["models"].index(decision.model)
        if limit := begin["model_messages_per_day"][number]:
            name = begin["model_subjects"][number]
            subject = Subject(
                name=name,
                kind="model",
                model=decision.model,
                messages_per_minute=0,
                messages_per_day=limit,
                bytes_per_day=0,
                tokens_per_day=0,
            )
            subjects.append(subject)
        return Begun(
            decision.held_turn_id,
            decision.verdict,
            decision.lease_remaining_seconds,
            decision.quota(subjects),
            decision.may_ask_title,
            decision.title,
            messages,
            token,
            message_id,
            conversation_id,
            user_id,
            begin["quota_subjects"],
            decision.model,
            decision.instructions,
            decision.user_instructions,
        )

    async def finish(
        self,
        begun: Begun,
        content: str = "Hello, how are you?",
        *,
        finish_reason: str = "stop",
        answer_message_id: str = "answer-1",
        title: str | None = None,
        **columns: object,
    ) -> list[StoredAnswer]:
        """Run finish_turn for a turn that was taken; `columns` are columns of its answer."""
        answer = {"finish_reason": finish_reason, "answer_message_id": answer_message_id}
        call = self.finish_call(begun, content, title=title, **answer, **columns)
        _, stored = await self.database.run(act_as(begun.user_id, begun.conversation_id), call)
        return stored

    def finish_call(self, begun: Begun, content: str, **parameters: object) -> Call[StoredAnswer]:
        """Return the call of finish_turn."""
        defaults = dict.fromkeys(UNKNOWN_COLUMNS) | {"model_name": "test-model"} | TOKENS
        defaults |= {"finish_reason": "stop", "answer_message_id": "answer-1", "title": None}
        defaults |= NO_UNSTORED_PARTS | QuestionMarks().parameters()
        defaults |= {"quota_subjects": begun.quota_subjects}
        return FINISH_TURN(
            **NO_WALL,
            conversation_id=begun.conversation_id,
            user_id=begun.user_id,
            turn_id=begun.turn_id,
            question_id=begun.question.id,
            content=content,
            first_title=FIRST_TITLE,
            now=self.now,
            **(defaults | parameters),
        )

    async def release(self, begun: Begun, refusal: str | None = None, **marks: Any) -> bool:
        """Run the step of `release_turn`; return whether the attempt held the turn.

        Args:
            begun: the turn.
            refusal: see `QuestionMarks`.
            marks: its other fields.
        """
        lock, release = release_calls(
            begun.conversation_id,
            begun.user_id,
            begun.turn_id,
            question_id=begun.question.id if begun.messages else None,
            marks=QuestionMarks(refusal=refusal, **marks),
            quota_subjects=tuple(begun.quota_subjects),
        )
        release = Call(release.statement, release.parameters | {"now": self.now})
        _, _, released = await self.database.run(
            act_as(begun.user_id, begun.conversation_id), lock, release
        )
        return bool(released)

    async def exchange(self, number: int, **parameters: Any) -> Begun:
        """Send a message and store its answer; ids and texts carry the number."""
        begun = await self.begin(
            f"Question {number}", message_id=f"question-{number}", **parameters
        )
        assert begun.verdict == "taken"
        stored = await self.finish(begun, f"Answer {number}", answer_message_id=f"answer-{number}")
        assert stored
        return begun


def act_as(
    user_id: str | None, conversation_id: UUID | None = None, *, approach: Approach = "follow"
) -> Call[Any]:
    """Return the call that `Database.run_as` sends first: later calls run within the wall."""
    reachable = conversation_id if user_id is None else None
    return acting.act_as(Caller(user_id, approach=approach), reachable)


def open_database(url: str) -> Database:
    """Return a database of the test's own, opened as the functions open theirs."""
    return Database(read_settings({"DATABASE_URL": url, "DB_POOL_MAX": "50"}))


def contents(messages: Iterable[Message]) -> list[str]:
    """Return the texts of messages."""
    return [message.content for message in messages]
