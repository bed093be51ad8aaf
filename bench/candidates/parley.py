"""Parley: begin_turn, finish_turn and read_history of `lib/`, as its functions call them."""

import os
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

from bench.large import fill
from bench.workload import ANSWER, CONVERSATIONS, MESSAGES_EACH, QUESTION, Place, conversation_id
from lib.conversations.history import HistoryQuery, read_history
from lib.conversations.message import Message
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.settings import settings
from lib.turns.begin import begin_turn
from lib.turns.finish import UnstoredParts, finish_turn
from lib.turns.request import ChatRequest

# Quotas are counted, as they are by default, but not reached.
SETTINGS = {
    "MESSAGES_PER_MINUTE": "1000000",
    "MESSAGES_PER_DAY": "1000000",
    "ANONYMOUS_PER_DAY": "1000000000",
    "TOKENS_PER_DAY": "1000000000000",
    "BYTES_PER_DAY": "1000000000000",
    "SLOW_QUERY_MS": "600000",
}
STORED: dict[str, Any] = {
    "role": "assistant",
    "content": ANSWER,
    "finish_reason": "stop",
    "model_name": "gpt-4o-mini",
    "prompt_tokens": 900,
    "completion_tokens": 100,
}
WORDS = 85


def open_candidate(place: Place) -> "Parley":
    """Make the candidate; nothing is opened."""
    os.environ |= SETTINGS | {
        "DATABASE_URL": place.url,
        "DB_POOL_MAX": str(place.connections),
    }
    return Parley(Database(settings()))


def caller_of(conversation: int) -> Caller:
    """Return the user whose conversation it is: each has one."""
    return Caller(user_id=f"user-{conversation}")


class Parley:
    """The candidate."""

    def __init__(self, database: Database) -> None:
        """Take where it keeps its chats: a migrated database."""
        self.database = database

    async def prepare(self) -> None:
        """Fill the tables, which psql has made."""
        messages = CONVERSATIONS * MESSAGES_EACH
        fill(os.environ["DATABASE_URL"], messages, days=20, words=WORDS, users=CONVERSATIONS)

    async def turn(self, conversation: int) -> int:
        """Take a turn."""
        request = ChatRequest(text=QUESTION, message_id=str(uuid4()), wants_stream=False)
        turn = await begin_turn(
            self.database,
            caller_of(conversation),
            conversation_id(conversation),
            request,
            turn_id=uuid4(),
            deadline=time.monotonic() + 60,
        )
        answer: Message = replace(turn.question, message_id=str(uuid4()), **STORED)
        await finish_turn(self.database, turn, answer, None, UnstoredParts(0, b"", b"", b""))
        return len(turn.messages)

    async def history(self, conversation: int) -> int:
        """Read the last page."""
        query = HistoryQuery(
            conversation_id=str(conversation_id(conversation)), limit=MESSAGES_EACH
        )
        page = await read_history(self.database, caller_of(conversation), query)
        return len(page["messages"])

    async def close(self) -> None:
        """Close the pool."""
        await self.database.close()
