"""Conversations to search, and the search itself, for tests of search_conversations."""

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
    """Conversations that a test has stored, and the search in them.

    Attributes:
        database: the database, as the functions open it.
        rows: the rows of the same database.
        names: the test's names of its conversations, by id.
        by_index: use the search indexes; False: read the texts (SEARCH=scan).
    """

    database: Database
    rows: Rows
    names: dict[UUID, str] = field(default_factory=dict[UUID, str])
    by_index: bool = True

    def add(
        self,
        name: str,
        *contents: str,
        user_id: str | None = "ada",
        title: str | None = None,
        status: str = "active",
        days_ago: float = 0,
    ) -> UUID:
        """Store a conversation with these messages."""
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
        """Run search_conversations as a user."""
        defaults = {"status": "all", "retention_days": 30, "page_size": 20, "now": NOON}
        defaults["by_index"] = self.by_index
        _, conversations = await self.database.run(
            act_as(user_id),
            SEARCH_CONVERSATIONS(user_id=user_id, words=words, **defaults | parameters),
        )
        return conversations

    async def names_of(self, words: str, **parameters: Any) -> list[str]:
        """Search, and return the test's names of the matches, the best first."""
        conversations = await self.find(words, **parameters)
        return [self.names[conversation.id] for conversation in conversations]

    async def excerpt_of(self, words: str, **parameters: Any) -> str:
        """Search for the only match, and return its excerpt as a client sees it."""
        [conversation] = await self.find(words, **parameters)
        return str(conversation.to_json()["excerpt"])
