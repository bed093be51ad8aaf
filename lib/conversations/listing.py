"""The list of a user's conversations, and the search in it."""

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Literal
from uuid import UUID

from lib.conversations.conversation import Conversation, ConversationStatus
from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.cursors import cursor, page_of
from lib.http.queries import one_of, parameter, query_string, text, whole_number
from lib.identity.callers import Caller
from lib.problems import DatabaseTooSlow, NotFound, SearchTooSlow
from lib.settings import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary(Conversation):
    """A conversation with its number of messages and the last one.

    Attributes:
        message_count: current messages.
        last_message: the beginning of the last current message; None: there is none.
    """

    message_count: int
    last_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDetails(ConversationSummary):
    """The row of find_conversation_summary.

    Attributes:
        instructions: what the user wants the model to know or to do in it; None: nothing.
    """

    instructions: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundConversation(Conversation):
    """A row of search_conversations.

    Attributes:
        excerpt: the text around the words; each word stands between chr(2) and chr(3).
    """

    excerpt: str

    def to_json(self) -> dict[str, Any]:
        """Return the conversation as clients see it; `<mark>` is the only HTML in the excerpt."""
        marked = escape(self.excerpt).replace("\x02", "<mark>").replace("\x03", "</mark>")
        return Conversation.to_json(self) | {"excerpt": marked}


LIST_CONVERSATIONS = Statement("conversations/list_conversations", ConversationSummary)
NO_SEARCH = "The operator has switched the search off."
# Words that stand in very many messages take long, and the user waits.
SEARCH_CONVERSATIONS = Statement(
    "conversations/search_conversations", FoundConversation, timeout_ms=3000
)


@query_string
class AnyQuery:
    """The parameters that GET /api/conversations checks for each of its uses.

    Attributes:
        q: searches for words, `"a phrase"`, `or`, `-not`.
    """

    status: Literal[ConversationStatus, "all"] = parameter(
        one_of("active", "archived", "all"), default="active"
    )
    limit: int = parameter(whole_number(1, 200), default=20)
    q: str | None = parameter(text(least=1, most=200), default=None)


@query_string
class ListQuery(AnyQuery):
    """The query for a page of the list or, with `q`, of a search."""

    cursor: tuple[datetime, UUID] | None = parameter(cursor(datetime, UUID), default=None)


async def list_conversations(
    database: Database, caller: Caller, query: ListQuery
) -> dict[str, Any]:
    """Return one page of a user's conversations, most recently used first.

    One round trip: list_conversations.

    Raises:
        Problem: see `Database.run_as`.
    """
    updated_at, last_id = query.cursor or (None, None)
    conversations = await database.run_as(
        caller,
        None,
        LIST_CONVERSATIONS(
            user_id=caller.user_id,
            shown_status=query.status,
            retention_days=settings().retention_days,
            cursor_updated_at=updated_at,
            cursor_id=last_id,
            # One row more than the page shows whether there is a next page.
            page_size=query.limit + 1,
            now=None,
        ),
    )
    page, next_cursor = page_of(conversations, query.limit, lambda row: (row.updated_at, row.id))
    return {"conversations": page, "next_cursor": next_cursor}


async def search_conversations(
    database: Database, caller: Caller, query: ListQuery
) -> dict[str, Any]:
    """Return the user's conversations that hold the words of `query.q`, best first; one page.

    One round trip: search_conversations.

    Raises:
        NotFound: when SEARCH is off.
        SearchTooSlow: when the words stand in too many messages.
        Problem: see `Database.run_as`.
    """
    if settings().search == "off":
        raise NotFound(NO_SEARCH)
    call = SEARCH_CONVERSATIONS(
        user_id=caller.user_id,
        words=query.q,
        status=query.status,
        retention_days=settings().retention_days,
        page_size=query.limit,
        by_index=settings().search == "index",
        now=None,
    )
    try:
        conversations = await database.run_as(caller, None, call)
    except DatabaseTooSlow as error:
        raise SearchTooSlow from error
    return {"conversations": conversations, "next_cursor": None}
