"""langchain-postgres: its PostgresChatMessageHistory, on connections of psycopg's pool.

Source: the package's README, "ChatMessageHistory", with an asynchronous connection. The class takes
a connection and leaves it in a transaction when it has read; so each use has one of the pool's,
which ends that. Held through the whole turn, the connection would stay in a transaction
while the model answers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory
from psycopg_pool import AsyncConnectionPool

from bench.workload import CONVERSATIONS, Place, answer, conversation_id, first_messages, question

TABLE = "chat_history"
CLASSES = {"user": HumanMessage, "assistant": AIMessage}


def open_candidate(place: Place) -> "LangChain":
    """Make the candidate; nothing is opened."""
    # psycopg, "Prepared statements", "Using prepared statements with PgBouncer".
    kwargs = {"prepare_threshold": None} if place.is_pooled else {}
    return LangChain(
        AsyncConnectionPool(
            place.url, kwargs=kwargs, min_size=1, max_size=place.connections, open=False
        )
    )


class LangChain:
    """The candidate."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        """Take the pool."""
        self.pool = pool

    async def prepare(self) -> None:
        """Make the table and fill it."""
        await self.pool.open()
        async with self.pool.connection() as connection:
            await PostgresChatMessageHistory.acreate_tables(connection, TABLE)
        for number in range(CONVERSATIONS):
            async with self._history(number) as history:
                await history.aadd_messages(
                    [message(role, content) for role, content in first_messages()]
                )

    async def turn(self, conversation: int) -> int:
        """Add the question, read all messages, add the answer."""
        async with self._history(conversation) as history:
            await history.aadd_messages([message("user", question())])
        async with self._history(conversation) as history:
            messages = await history.aget_messages()
        async with self._history(conversation) as history:
            await history.aadd_messages([message("assistant", answer())])
        return len(messages)

    async def history(self, conversation: int) -> int:
        """Read all messages."""
        async with self._history(conversation) as history:
            return len(await history.aget_messages())

    async def close(self) -> None:
        """Close the pool."""
        await self.pool.close()

    @asynccontextmanager
    async def _history(self, conversation: int) -> AsyncIterator[PostgresChatMessageHistory]:
        await self.pool.open()
        async with self.pool.connection() as connection:
            yield PostgresChatMessageHistory(
                TABLE, str(conversation_id(conversation)), async_connection=connection
            )


def message(role: str, content: str) -> BaseMessage:
    """Return a message as LangChain has it."""
    return CLASSES[role](content=content)
