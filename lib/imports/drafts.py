"""What an import is about to store: conversations and messages, whatever format they came in."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from lib.conversations.conversation import ConversationStatus
from lib.conversations.message import FinishReason
from lib.http.ids import NAMESPACE

Format = Literal["parley", "chatgpt", "open-webui"]
# What a report counts. The other kinds are lines of Parley's export that an import leaves out.
Kind = Literal[
    "conversation",
    "message",
    "line",
    "file",
    "user",
    "quota",
    "known_network",
    "user_settings",
    "task",
    "tool_run",
    "stream_batch",
    "finished_stream",
    "file_bytes",
]
# Why something is left out; lib/imports/report.py has the words.
Reason = Literal[
    "conversation_full",
    "empty",
    "expired",
    "hidden",
    "id_taken",
    "in_the_future",
    "later_messages",
    "no_messages",
    "no_time",
    "not_imported",
    "not_storable",
    "other_version",
    "question_left_out",
    "too_long",
    "turn_in_progress",
    "unreadable",
]


@dataclass(slots=True, kw_only=True, eq=False)
class DraftMessage:
    """A message of an import.

    Attributes:
        question: the message that an answer answers; None: a question, or the answer to none.
        answers_stored: an answer to a question that an earlier piece of the file had.
        columns: further columns of the row.
    """

    message_id: str
    role: Literal["user", "assistant"]
    content: str
    created_at: datetime
    updated_at: datetime | None = None
    question: "DraftMessage | None" = None
    answers_stored: bool = False
    finish_reason: FinishReason | None = None
    model_name: str | None = None
    superseded_at: datetime | None = None
    columns: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, kw_only=True)
class DraftConversation:
    """A conversation of an import.

    Attributes:
        id: derived from the owner and the id that it had where it comes from.
        source_id: that id, if it may be the id of a conversation of the caller's; None otherwise.
        title: None: unknown.
        titled_at: when the message was stored that the title tells; None: with the first one.
        created_at: None: with its first message.
        updated_at: None: with its last question.
        is_whole: its messages come with it. False: it is stored without messages, too.
        messages: in their order.
    """

    id: UUID
    source_id: UUID | None = None
    title: str | None = None
    titled_at: datetime | None = None
    status: ConversationStatus = "active"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    is_whole: bool = True
    messages: list[DraftMessage] = field(default_factory=list[DraftMessage])


@dataclass(slots=True)
class Draft:
    """All that a request brings.

    Attributes:
        owner_id: the caller.
        conversations: by their derived ids.
        left_out: how many of a kind are left out for a reason.
        is_recognized: something in the request was of the format.
    """

    owner_id: str
    conversations: dict[UUID, DraftConversation] = field(
        default_factory=dict[UUID, DraftConversation]
    )
    left_out: Counter[tuple[Kind, Reason]] = field(default_factory=Counter[tuple[Kind, Reason]])
    is_recognized: bool = False

    def leave_out(self, kind: Kind, reason: Reason, count: int = 1) -> None:
        """Count what is left out."""
        if count:
            self.left_out[kind, reason] += count

    def conversation(self, source: Format, source_id: str) -> DraftConversation:
        """Return the draft of a conversation with the id that it had where it comes from.

        The id is a UUIDv5 (RFC 9562) over owner, format and that id: the same each time, and never
        that of another owner.
        """
        named = json.dumps(["import", self.owner_id, source, source_id])
        derived = uuid5(NAMESPACE, named)
        return self.conversations.setdefault(derived, DraftConversation(id=derived))


def derived_message_id(conversation: DraftConversation, source_id: str) -> str:
    """Return the id of a message by the id that it had where it comes from."""
    # A foreign id may have half a surrogate pair.
    named = source_id.encode("utf-8", "backslashreplace").decode()
    return str(uuid5(conversation.id, named))
