"""The stored rows, read on a connection of the test's own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg


@dataclass(frozen=True, slots=True)
class Rows:
    """The stored rows, read on a connection of the test's own."""

    connection: psycopg.Connection

    def current(self, conversation_id: UUID) -> list[str]:
        """Return the texts of a conversation's current messages, oldest first."""
        return [content for content, is_current in self.all(conversation_id) if is_current]

    def superseded(self, conversation_id: UUID) -> list[str]:
        """Return the texts of a conversation's replaced messages, oldest first."""
        return [content for content, is_current in self.all(conversation_id) if not is_current]

    def all(self, conversation_id: UUID) -> list[tuple[str, bool]]:
        """Return all messages of a conversation, oldest first: text, and whether it is current."""
        return self.connection.execute(
            """
            SELECT content, superseded_at IS NULL FROM chat_messages
            WHERE conversation_id = %s ORDER BY id
            """,
            [conversation_id],
        ).fetchall()

    def run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run SQL and return its rows, if it has any."""
        cursor = self.connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def uncommitted(
        self, statement: str, parameters: Mapping[str, object] | None = None
    ) -> AsyncGenerator[None]:
        """Run SQL in another connection, which commits when the block ends."""
        info = self.connection.info
        async with await psycopg.AsyncConnection.connect(info.dsn, dbname=info.dbname) as other:
            await other.execute(statement.encode(), parameters)
            yield

    async def until_waiting(self, count: int) -> None:
        """Wait until `count` sessions wait for a lock."""
        waiting = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
        """
        async with asyncio.timeout(30):
            while self.run(waiting) != [(count,)]:  # noqa: ASYNC110 (Postgres offers no event)
                await asyncio.sleep(0.01)
