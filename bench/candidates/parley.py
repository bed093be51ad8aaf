"""Parley: what its functions call in `lib/` for a turn, a history, a list and a search."""

import os
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

from bench.large import fill
from bench.words import seldom_word
from bench.workload import (
    ANSWER_WORDS,
    DAYS,
    MESSAGES_EACH,
    Place,
    answer,
    conversation_id,
    question,
)
from lib.conversations.history import HistoryQuery, read_history
from lib.conversations.listing import ListQuery, list_conversations, search_conversations
from lib.conversations.message import Message
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.problems import SearchTooSlow
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
    "finish_reason": "stop",
    "model_name": "gpt-4o-mini",
    "prompt_tokens": 900,
    "completion_tokens": 100,
}


def open_candidate(place: Place) -> "Parley":
    """Make the candidate; nothing is opened."""
    os.environ |= SETTINGS | {
        "DATABASE_URL": place.url,
        "DB_POOL_MAX": str(place.connections),
    }
    return Parley(place, Database(settings()))


class Parley:
    """The candidate."""

    def __init__(self, place: Place, database: Database) -> None:
        """Take where it keeps its chats: a migrated database."""
        self._place = place
        self.database = database

    async def prepare(self) -> None:
        """Fill the tables, which psql has made."""
        place = self._place
        fill(place.url, place.messages, days=DAYS, words=ANSWER_WORDS, users=place.users)

    async def turn(self, conversation: int) -> int:
        """Take a turn."""
        request = ChatRequest(text=question(), message_id=str(uuid4()), wants_stream=False)
        turn = await begin_turn(
            self.database,
            self._caller(conversation),
            conversation_id(conversation),
            request,
            turn_id=uuid4(),
            deadline=time.monotonic() + 60,
        )
        said: Message = replace(turn.question, message_id=str(uuid4()), content=answer(), **STORED)
        await finish_turn(self.database, turn, said, None, UnstoredParts(0, b"", b"", b""))
        return len(turn.messages)

    async def history(self, conversation: int) -> int:
        """Read the last page."""
        query = HistoryQuery(
            conversation_id=str(conversation_id(conversation)), limit=MESSAGES_EACH
        )
        page = await read_history(self.database, self._caller(conversation), query)
        return len(page["messages"])

    async def list(self, conversation: int) -> int:
        """Read the first page of the list that a conversation is in."""
        query = ListQuery(limit=MESSAGES_EACH)
        page = await list_conversations(self.database, self._caller(conversation), query)
        return len(page["conversations"])

    async def search(self, conversation: int) -> int:
        """Search its owner's conversations for a word; the conversation says for which."""
        query = ListQuery(q=seldom_word(conversation))
        try:
            page = await search_conversations(self.database, self._caller(conversation), query)
        except SearchTooSlow:
            return 0
        return len(page["conversations"])

    async def close(self) -> None:
        """Close the pool."""
        await self.database.close()

    def _caller(self, conversation: int) -> Caller:
        return Caller(user_id=self._place.user_of(conversation))
