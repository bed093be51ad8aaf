"""The rules of an imported message, as strict as those of a message that is sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.conversations.conversation import MAX_TITLE_CHARS, title_of
from lib.imports.drafts import Draft, DraftConversation, DraftMessage, Reason
from lib.imports.values import is_storable
from lib.settings import settings
from lib.texts import storable_text

# More than any model writes, and few enough that a page of a history has room for it.
MAX_ANSWER_CHARS = 400_000


@dataclass(slots=True)
class Rows:
    """What store_import is given.

    Attributes:
        conversations: its parameter `given_conversations`.
        messages: its parameter `given_messages`.
        repeated: messages that came before in the same request.
    """

    conversations: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    repeated: int = 0


class Checking:
    """Turns a draft into rows, and leaves out what breaks a rule."""

    def __init__(self, draft: Draft, now: datetime | None) -> None:
        """Take a draft and the time; None: the clock's."""
        self._draft = draft
        self._now = now or datetime.now(UTC)
        days = settings().retention_days
        self._kept_since = self._now - timedelta(days=days) if days else None
        self._rows = Rows([], [])
        # The positions of the messages that are taken, and the reasons of those that are not.
        self._places = dict[DraftMessage, int]()
        self._faults = dict[DraftMessage, Reason]()

    def rows(self) -> Rows:
        """Return the rows."""
        for conversation in self._draft.conversations.values():
            self._add(conversation)
        return self._rows

    def _add(self, conversation: DraftConversation) -> None:
        # Of a line of Parley's export, with which it is stored without messages, too. (Without that
        # line, some messages of it are in this piece of the file, and it is in another one.)
        fault = None if conversation.is_whole else self._time_fault(conversation.updated_at)
        messages = [*self._checked(conversation)]
        if messages or (fault is None and not conversation.is_whole):
            self._rows.conversations.append(self._row(conversation, messages, fault))
        elif fault is not None or conversation.source_id is None:
            self._draft.leave_out("conversation", fault or "no_messages")
        for message in messages:
            self._add_message(message)

    def _checked(self, conversation: DraftConversation) -> Iterator[DraftMessage]:
        seen = set[tuple[str, datetime | None]]()
        for message in conversation.messages:
            key = (message.message_id, message.created_at if message.superseded_at else None)
            if key in seen:
                self._rows.repeated += 1
            elif (fault := self._fault(message)) is not None:
                self._faults[message] = fault
                self._draft.leave_out("message", fault)
            else:
                seen.add(key)
                yield message

    def _fault(self, message: DraftMessage) -> Reason | None:
        if message.question is not None and (fault := self._faults.get(message.question)):
            return fault if fault == "expired" else "question_left_out"
        is_question = message.role == "user"
        # An answer may have tool calls or thoughts alone.
        has_steps = any(message.columns.get(name) for name in ("tool_calls", "steps"))
        if not message.content.strip() and (is_question or not has_steps):
            return "empty"
        most = settings().max_message_chars if is_question else MAX_ANSWER_CHARS
        if len(message.content) > most:
            return "too_long"
        if not is_storable(message.content):
            return "not_storable"
        return self._time_fault(message.created_at)

    def _time_fault(self, time: datetime | None) -> Reason | None:
        if time is None:
            return "no_time"
        if time > self._now:
            return "in_the_future"
        return "expired" if self._kept_since is not None and time < self._kept_since else None

    def _row(
        self,
        conversation: DraftConversation,
        messages: list[DraftMessage],
        fault: Reason | None,
    ) -> dict[str, Any]:
        """Return the row of a conversation; without a time of its own, with those of messages."""
        asked = [message for message in messages if message.role == "user"] or messages
        times = [message.created_at for message in asked]
        if conversation.updated_at is not None and fault is None:
            times.append(conversation.updated_at)
        updated_at = max(times)
        created_at = min(conversation.created_at or times[0], updated_at)
        title = _one_line(conversation.title)
        titled_at = conversation.titled_at or conversation.created_at or created_at
        if not title or self._time_fault(titled_at) is not None:
            # A title tells the message that it was made of, and expires with it.
            title, titled_at = (title_of(asked[0].content) if asked else None), times[0]
        return {
            "position": len(self._rows.conversations) + 1,
            "id": conversation.id,
            "source_id": conversation.source_id,
            "title": title,
            "titled_at": titled_at,
            "status": conversation.status,
            "created_at": created_at,
            "updated_at": updated_at,
        }

    def _add_message(self, message: DraftMessage) -> None:
        """Add a message of the conversation that was added last."""
        place = len(self._rows.conversations)
        position = len(self._rows.messages) + 1
        self._places[message] = position
        question = None if message.question is None else self._places.get(message.question)
        self._rows.messages.append(
            {
                "position": position,
                "place": place,
                "reply_position": question,
                "answers_stored": message.answers_stored,
                "message_id": message.message_id,
                "role": message.role,
                "content": message.content,
                "finish_reason": message.finish_reason,
                "model_name": storable_text(message.model_name) if message.model_name else None,
                "superseded_at": message.superseded_at and min(message.superseded_at, self._now),
                "created_at": message.created_at,
                "updated_at": min(message.updated_at or message.created_at, self._now),
            }
            | message.columns
        )


def _one_line(title: str | None) -> str:
    line = " ".join(storable_text(title or "").split())
    return line if len(line) <= MAX_TITLE_CHARS else line[: MAX_TITLE_CHARS - 1].rstrip() + "…"
