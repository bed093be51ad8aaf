"""Conversations: threads of messages, their list and their pages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, AwareDatetime, BaseModel, Field

from lib.callers import Caller
from lib.cursors import decode_cursor, encode_cursor
from lib.database import Database
from lib.ids import ClientId, conversation_id_of
from lib.messages import Message
from lib.problems import NotFound
from lib.settings import settings
from lib.statements import Statement

TITLE_CHARS = 60

# A bigint of Postgres.
RowId = Annotated[int, Field(ge=0, lt=2**63)]


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
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


LIST_CONVERSATIONS = Statement("list_conversations", Conversation)
FIND_CONVERSATION = Statement("find_conversation", Conversation)
LIST_MESSAGES = Statement("list_messages", Message)


class ListQuery(BaseModel, defer_build=True):
    """The query of GET /api/conversations."""

    status: Literal["active", "archived", "all"] = "active"
    limit: int = Field(default=20, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=500)


class HistoryQuery(BaseModel, defer_build=True):
    """The query of GET /api/history; `session_id` is another name of `conversation_id`."""

    conversation_id: ClientId = Field(
        validation_alias=AliasChoices("conversation_id", "session_id")
    )
    limit: int = Field(default=50, ge=1, le=200)
    before: str | None = Field(default=None, max_length=500)
    include: Literal["superseded", "system", "all"] | None = None


async def list_conversations(database: Database, user_id: str, query: ListQuery) -> dict[str, Any]:
    """Return one page of a user's conversations, most recently used first.

    One round trip: list_conversations.

    Raises:
        InvalidRequest: the cursor is none of this list.
        DatabaseUnavailable: see `Database.run`.
    """
    updated_at, last_id = None, None
    if query.cursor is not None:
        updated_at, last_id = decode_cursor(query.cursor, tuple[AwareDatetime, UUID], "cursor")
    found = await database.run(
        LIST_CONVERSATIONS(
            user_id=user_id,
            status=query.status,
            retention_days=settings().retention_days,
            cursor_updated_at=updated_at,
            cursor_id=last_id,
            # One more than asked for tells whether there is a next page.
            page_size=query.limit + 1,
            now=None,
        )
    )
    page = found[: query.limit]
    has_more = len(found) > query.limit
    return {
        "conversations": page,
        "next_cursor": encode_cursor(page[-1].updated_at, page[-1].id) if has_more else None,
    }


async def read_history(database: Database, caller: Caller, query: HistoryQuery) -> dict[str, Any]:
    """Return one page of a conversation's messages, oldest first, and the conversation.

    One round trip: find_conversation and list_messages.

    Raises:
        NotFound: there is no such conversation of this caller.
        InvalidRequest: the cursor is none of this list.
        DatabaseUnavailable: see `Database.run`.
    """
    conversation_id = conversation_id_of(query.conversation_id, caller)
    last_id = (
        decode_cursor(query.before, tuple[RowId], "before")[0] if query.before is not None else None
    )
    conversations, found = await database.run(
        FIND_CONVERSATION(
            conversation_id=conversation_id,
            user_id=caller.user_id,
            retention_days=settings().retention_days,
            now=None,
        ),
        LIST_MESSAGES(
            conversation_id=conversation_id,
            user_id=caller.user_id,
            include_superseded=query.include in {"superseded", "all"},
            include_system=query.include in {"system", "all"},
            retention_days=settings().retention_days,
            cursor_id=last_id,
            page_size=query.limit + 1,
            now=None,
        ),
    )
    if not conversations:
        raise NotFound
    page = found[: query.limit]
    return {
        "conversation": conversations[0],
        "messages": page[::-1],
        "next_cursor": encode_cursor(page[-1].id) if len(found) > query.limit else None,
    }


def title_of(text: str) -> str:
    """Return the beginning of a message as a title: one line of at most TITLE_CHARS characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"
