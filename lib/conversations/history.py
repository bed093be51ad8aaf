"""History: the messages of one conversation, page by page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lib.conversations.conversation import Conversation, ConversationStatus
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.cursors import cursor, page_of
from lib.http.ids import CHAT_ID, conversation_id_of
from lib.http.queries import one_of, parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.problems import NotFound
from lib.settings import settings


@dataclass(slots=True, kw_only=True)
class HistoryRow(Message):
    """A row of read_history: a message, and its conversation beside it.

    Attributes:
        has_message: False: the page is empty, and the row is the conversation alone.
    """

    has_message: bool
    title: str | None
    status: ConversationStatus
    conversation_created_at: datetime
    conversation_updated_at: datetime
    conversation_model: str | None

    @property
    def conversation(self) -> Conversation:
        """The conversation, as its owner sees it."""
        return Conversation(
            id=self.conversation_id,
            title=self.title,
            status=self.status,
            created_at=self.conversation_created_at,
            updated_at=self.conversation_updated_at,
            model=self.conversation_model,
        )


READ_HISTORY = Statement("conversations/read_history", HistoryRow)


@query_string
class HistoryQuery:
    """The query of GET /api/history.

    Attributes:
        include: also messages that were replaced, or that the operator has written.
    """

    conversation_id: str = parameter(CHAT_ID, names=("conversation_id", "session_id"))
    limit: int = parameter(whole_number(1, 200), default=50)
    before: tuple[int] | None = parameter(cursor(int), default=None)
    include: Literal["superseded", "system", "all"] | None = parameter(
        one_of("superseded", "system", "all"), default=None
    )


async def read_history(database: Database, caller: Caller, query: HistoryQuery) -> dict[str, Any]:
    """Return one page of a conversation's messages, oldest first, and the conversation.

    One round trip: read_history.

    Raises:
        NotFound: when the caller has no such conversation.
        Problem: see `Database.run_as`.
    """
    conversation_id = conversation_id_of(query.conversation_id, caller)
    [last_id] = query.before or [None]
    rows = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        READ_HISTORY(
            conversation_id=conversation_id,
            user_id=caller.user_id,
            include_superseded=query.include in {"superseded", "all"},
            include_system=query.include in {"system", "all"},
            retention_days=settings().retention_days,
            cursor_id=last_id,
            # One row more than the page shows whether there is a next page.
            page_size=query.limit + 1,
            now=None,
        ),
    )
    if not rows:
        raise NotFound
    messages = rows if rows[0].has_message else []
    page, next_cursor = page_of(messages, query.limit, lambda row: (row.id,))
    return {
        "conversation": rows[0].conversation,
        "messages": page[::-1],
        "next_cursor": next_cursor,
    }
