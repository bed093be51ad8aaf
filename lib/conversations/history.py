"""History: the messages of one conversation, page by page."""

from typing import Any, Literal

from lib.conversations.conversation import FIND_CONVERSATION
from lib.conversations.message import Message
from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.cursors import cursor, page_of
from lib.http.ids import CHAT_ID, conversation_id_of
from lib.http.queries import one_of, parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.problems import NotFound
from lib.settings import settings

LIST_MESSAGES = Statement("conversations/list_messages", Message)


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

    One round trip: find_conversation and list_messages.

    Raises:
        NotFound: when the caller has no such conversation.
        Problem: see `Database.run_as`.
    """
    conversation_id = conversation_id_of(query.conversation_id, caller)
    [last_id] = query.before or [None]
    conversations, messages = await database.run_as(
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
    page, next_cursor = page_of(messages, query.limit, lambda row: (row.id,))
    return {
        "conversation": conversations[0],
        "messages": page[::-1],
        "next_cursor": next_cursor,
    }
