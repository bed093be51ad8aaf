"""History: the messages of one conversation, page by page."""

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field

from lib.callers import Caller
from lib.conversations import FIND_CONVERSATION
from lib.cursors import decode_cursor, page_of
from lib.database import Database
from lib.ids import ClientId, RowId, conversation_id_of
from lib.messages import Message
from lib.problems import NotFound
from lib.settings import settings
from lib.statements import Statement

LIST_MESSAGES = Statement("list_messages", Message)


class HistoryQuery(BaseModel, defer_build=True):
    """The query of GET /api/history; `session_id` is another name of `conversation_id`."""

    conversation_id: ClientId = Field(
        validation_alias=AliasChoices("conversation_id", "session_id")
    )
    limit: int = Field(default=50, ge=1, le=200)
    before: str | None = Field(default=None, max_length=500)
    include: Literal["superseded", "system", "all"] | None = None


async def read_history(database: Database, caller: Caller, query: HistoryQuery) -> dict[str, Any]:
    """Return one page of a conversation's messages, oldest first, and the conversation.

    One round trip: find_conversation and list_messages.

    Raises:
        NotFound: there is no such conversation of this caller.
        InvalidRequest: the cursor is none of this list.
        Problem: see `Database.run_as`.
    """
    conversation_id = conversation_id_of(query.conversation_id, caller)
    last_id = (
        decode_cursor(query.before, tuple[RowId], "before")[0] if query.before is not None else None
    )
    conversations, found = await database.run_as(
        caller,
        caller.reachable(conversation_id),
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
    page, next_cursor = page_of(found, query.limit, lambda row: (row.id,))
    return {
        "conversation": conversations[0],
        "messages": page[::-1],
        "next_cursor": next_cursor,
    }
