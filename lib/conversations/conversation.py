"""Conversations: threads of messages."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from lib.database.statements import Statement

TITLE_CHARS = 60
# As many as the column holds.
# Of a user for a conversation, or for all of them: each request to the model tells them.
MAX_INSTRUCTIONS_CHARS = 4000
MAX_TITLE_CHARS = 255
MAX_RETRY_AFTER_SECONDS = 5.0
# As the column allows them (chk_conversation_status).
ConversationStatus = Literal["active", "archived"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation, as its owner sees it.

    Attributes:
        model: the model that its last request with a choice named; None: none did.
    """

    id: UUID
    title: str | None
    status: ConversationStatus
    created_at: datetime
    updated_at: datetime
    model: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the conversation as clients see it."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


@dataclass(frozen=True, slots=True)
class ConversationId:
    """The row of lock_conversation, change_conversation, delete_conversation and release_turn, and
    a row of delete_conversations: the conversation that was locked, changed or deleted.
    """

    id: UUID


FIND_CONVERSATION = Statement("conversations/find_conversation", Conversation)
LOCK_CONVERSATION = Statement("conversations/lock_conversation", ConversationId)


def retry_after(lease_remaining_seconds: float | None) -> float:
    """Return when a client may try again that met a running turn, in seconds.

    At most MAX_RETRY_AFTER_SECONDS, because most answers end long before their lease.
    """
    return min(lease_remaining_seconds or MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS)


def title_of(text: str) -> str:
    """Return the beginning of a message as a title: one line of at most TITLE_CHARS characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"
