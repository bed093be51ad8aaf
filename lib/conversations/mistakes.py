"""Mistakes: answers that a user has marked as wrong, listed and exported for fine-tuning."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lib.conversations.message import Message
from lib.conversations.usage import UsageQuery
from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.cursors import cursor, page_of
from lib.http.ids import CHAT_ID, CLIENT_ID, conversation_id_of
from lib.http.queries import one_of, parameter, query_string, whole_number
from lib.identity.callers import Caller
from lib.problems import InvalidRequest, NotFound
from lib.settings import settings

if TYPE_CHECKING:
    from lib.conversations.bodies import Mark


@dataclass(frozen=True, slots=True)
class MarkedMessage:
    """The row of mark_mistake: `chat_messages.id` of the answer."""

    id: int


@dataclass(slots=True, kw_only=True)
class Mistake(Message):
    """A row of list_mistakes: an answer marked as a mistake, and its question.

    Attributes:
        question_message_id: the question's id, as clients see it; None: the question is gone.
        question: the question's text.
    """

    question_message_id: str | None
    question: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as history shows it, with its question beside it."""
        question = {"id": self.question_message_id, "content": self.question}
        return Message.to_json(self) | {
            "question": question if self.question_message_id is not None else None
        }

    def example(self) -> dict[str, Any]:
        """Return a line of the chat fine-tuning format (OpenAI, "Fine-tuning").

        The answer has the weight 0, so that no model learns it. `mistake_note` says why it is
        wrong, for the author of a better answer.
        """
        return {
            "messages": [
                {"role": "user", "content": self.question or ""},
                {"role": "assistant", "content": self.content, "weight": 0},
            ],
            "mistake_note": self.mistake_note,
        }


MARK_MISTAKE = Statement("conversations/mark_mistake", MarkedMessage)
FIND_MESSAGE = Statement("conversations/find_message", Message)
LIST_MISTAKES = Statement("conversations/list_mistakes", Mistake)


@query_string
class MessageQuery:
    """The query of PATCH /api/messages.

    Attributes:
        id: the answer's id.
    """

    id: str = parameter(CLIENT_ID)
    conversation_id: str = parameter(CHAT_ID, names=("conversation_id", "session_id"))


@query_string
class AnswersQuery(UsageQuery):
    """The query of GET /api/messages: for mistakes or, with `usage`, for usage.

    All parameters must be valid, also those of the other use.

    Attributes:
        is_mistake: the answers that are marked as mistakes.
    """

    is_mistake: Literal["true"] | None = parameter(one_of("true"), default=None)
    format: Literal["json", "jsonl"] = parameter(one_of("json", "jsonl"), default="json")
    limit: int = parameter(whole_number(1, 200), default=50)
    cursor: tuple[datetime, int] | None = parameter(cursor(datetime, int), default=None)


def mistake_mark() -> "type[Mark]":
    """Return the model of the body of PATCH."""
    from lib.conversations.bodies import Mark

    return Mark


async def mark_mistake(
    database: Database, caller: Caller, query: MessageQuery, mark: "Mark"
) -> Message:
    """Mark an answer of the caller as a mistake, or remove the mark; return the answer.

    One round trip: mark_mistake and find_message.

    Raises:
        NotFound: when the caller has no such answer in that conversation.
        Problem: see `Database.run_as`.
    """
    conversation_id = conversation_id_of(query.conversation_id, caller)
    parameters = {
        "conversation_id": conversation_id,
        "user_id": caller.user_id,
        "message_id": query.id,
        "retention_days": settings().retention_days,
        "now": None,
    }
    marked, messages = await database.run_as(
        caller,
        caller.reachable(conversation_id),
        MARK_MISTAKE(**parameters, is_mistake=mark.is_mistake, mistake_note=mark.mistake_note),
        FIND_MESSAGE(**parameters),
    )
    if not marked or not messages:
        raise NotFound
    return messages[0]


async def list_mistakes(
    database: Database, caller: Caller, query: AnswersQuery
) -> tuple[list[Mistake], str | None]:
    """Return one page of a user's mistakes, newest first, and the next cursor (None: last page).

    One round trip: list_mistakes.

    Raises:
        InvalidRequest: when the query asks neither for mistakes nor for usage.
        Problem: see `Database.run_as`.
    """
    if query.is_mistake is None:
        errors = [{"field": "is_mistake", "detail": "must be true, or usage"}]
        raise InvalidRequest(errors=errors)
    created_at, last_id = query.cursor or (None, None)
    mistakes = await database.run_as(
        caller,
        None,
        LIST_MISTAKES(
            user_id=caller.user_id,
            retention_days=settings().retention_days,
            cursor_created_at=created_at,
            cursor_id=last_id,
            # One row more than the page shows whether there is a next page.
            page_size=query.limit + 1,
            now=None,
        ),
    )
    return page_of(mistakes, query.limit, lambda row: (row.created_at, row.id))


def as_examples(mistakes: list[Mistake]) -> bytes:
    """Return mistakes as JSON lines of the chat fine-tuning format."""
    lines = [json.dumps(mistake.example(), ensure_ascii=False) + "\n" for mistake in mistakes]
    return "".join(lines).encode()
