"""llama-index-storage-chat-store-postgres: its PostgresChatStore, by its asynchronous functions.

Source: the package's README. The memory on top of it that is shown there (ChatMemoryBuffer) reads
in a thread, by the store's synchronous functions; the store's own are kinder to many at once.
"""

from llama_index.core.llms import ChatMessage
from llama_index.storage.chat_store.postgres import PostgresChatStore
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import sessionmaker

from bench.peers.engines import engine_of
from bench.workload import CONVERSATIONS, Place, answer, conversation_id, first_messages, question


def open_candidate(place: Place) -> "LlamaIndex":
    """Make the candidate; nothing is opened."""
    return LlamaIndex(place)


class LlamaIndex:
    """The candidate."""

    def __init__(self, place: Place) -> None:
        """Take where it is."""
        self.place = place
        self.engine = engine_of(place)
        self._store: PostgresChatStore | None = None

    @property
    def store(self) -> PostgresChatStore:
        """The store, which looks for its table when it is made, and makes it."""
        if self._store is None:
            # `from_uri` gives its pool the default size, so the sessions are made as it makes them.
            engine = create_engine(self.place.url.replace("postgresql://", "postgresql+psycopg://"))
            self._store = PostgresChatStore(
                session=sessionmaker(engine),
                async_session=sessionmaker(self.engine, class_=AsyncSession),
                table_name="chatstore",
            )
            engine.dispose()
        return self._store

    async def prepare(self) -> None:
        """Fill the table."""
        for number in range(CONVERSATIONS):
            await self.store.aset_messages(
                str(conversation_id(number)),
                [message(role, content) for role, content in first_messages()],
            )

    async def turn(self, conversation: int) -> int:
        """Add the question, read all messages, add the answer."""
        key = str(conversation_id(conversation))
        await self.store.async_add_message(key, message("user", question()))
        messages = await self.store.aget_messages(key)
        await self.store.async_add_message(key, message("assistant", answer()))
        return len(messages)

    async def history(self, conversation: int) -> int:
        """Read all messages."""
        return len(await self.store.aget_messages(str(conversation_id(conversation))))

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


def message(role: str, content: str) -> ChatMessage:
    """Return a message as LlamaIndex has it."""
    return ChatMessage(role=role, content=content)
