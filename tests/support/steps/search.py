"""Texts to be searched, and the search, for the tests of search_conversations."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from lib.conversations.listing import SEARCH_CONVERSATIONS, FoundConversation
from lib.database.client import Database
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, act_as


@dataclass(frozen=True, slots=True)
class Searched:
    """What somebody has said, and what a search finds of it.

    Attributes:
        database: where.
        rows: the same, looked at from beside.
        names: of the conversations, by their ids; what the test calls them.
    """

    database: Database
    rows: Rows
    names: dict[UUID, str] = field(default_factory=dict[UUID, str])

    def add(
        self,
        name: str,
        *contents: str,
        user_id: str | None = "ada",
        title: str | None = None,
        status: str = "active",
        days_ago: float = 0,
    ) -> UUID:
        """Store a conversation in which the user has said these things."""
        conversation_id, then = uuid4(), NOON - timedelta(days=days_ago)
        if user_id is not None:
            self.rows.run("INSERT INTO users (id) VALUES (%s) ON CONFLICT DO NOTHING", user_id)
        self.rows.run(
            "INSERT INTO conversations (id, user_id, title, status, updated_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            conversation_id,
            user_id,
            title,
            status,
            then,
        )
        self.names[conversation_id] = name
        for content in contents:
            self.say(conversation_id, content, user_id=user_id, created_at=then)
        return conversation_id

    def say(
        self, conversation_id: UUID, content: str, *, user_id: str | None = "ada", **columns: Any
    ) -> None:
        """Store a message in a conversation."""
        values = {"role": "assistant", "superseded_at": None, "created_at": NOON} | columns
        self.rows.run(
            "INSERT INTO chat_messages "
            "(conversation_id, user_id, content, role, superseded_at, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            conversation_id,
            user_id,
            content,
            values["role"],
            values["superseded_at"],
            values["created_at"],
        )

    async def find(
        self, words: str, *, user_id: str | None = "ada", **parameters: Any
    ) -> list[FoundConversation]:
        """Search as a user does."""
        chosen = {"status": "all", "retention_days": 30, "page_size": 20, "now": NOON}
        _, found = await self.database.run(
            act_as(user_id),
            SEARCH_CONVERSATIONS(user_id=user_id, words=words, **chosen | parameters),
        )
        return found

    async def names_of(self, words: str, **parameters: Any) -> list[str]:
        """Search, and return what the test calls the conversations, the best first."""
        return [self.names[each.id] for each in await self.find(words, **parameters)]

    async def excerpt_of(self, words: str, **parameters: Any) -> str:
        """Search for the only one that there is, and return its excerpt as a client sees it."""
        [found] = await self.find(words, **parameters)
        return str(found.to_json()["excerpt"])
