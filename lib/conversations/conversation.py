"""Conversations: threads of messages."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from lib.database.statements import Statement

TITLE_CHARS = 60
# What a client is told to wait at most before it tries again, in seconds: most answers end long
# before their lease.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A row of `conversations`, as its owner sees it."""

    id: UUID
    title: str | None
    status: str
    created_at: datetime
    updated_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as clients see it."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class ConversationId:
    """The row of statements that tell which conversation they met."""

    id: UUID


FIND_CONVERSATION = Statement("conversations/find_conversation", Conversation)
LOCK_CONVERSATION = Statement("conversations/lock_conversation", ConversationId)


def title_of(text: str) -> str:
    """Return the beginning of a message as a title: one line of at most TITLE_CHARS characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"
