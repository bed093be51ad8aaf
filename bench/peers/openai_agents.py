"""openai-agents: its SQLAlchemySession, called as `Runner.run` calls it.

Source: docs/sessions of the OpenAI Agents SDK, "SQLAlchemy sessions", with an engine that the
application manages and without `create_tables`, which is for development. Before it asks the
model, the runner gets the session's items and adds the question; afterwards it adds the answer.
"""

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.peers.engines import engine_of
from bench.workload import CONVERSATIONS, Place, answer, conversation_id, first_messages, question


def open_candidate(place: Place) -> "OpenAIAgents":
    """Make the candidate; nothing is opened."""
    return OpenAIAgents(engine_of(place))


class OpenAIAgents:
    """The candidate."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take the engine."""
        self.engine = engine

    async def prepare(self) -> None:
        """Make the tables and fill them."""
        for number in range(CONVERSATIONS):
            session = SQLAlchemySession(
                str(conversation_id(number)), engine=self.engine, create_tables=number == 0
            )
            await session.add_items([item(role, content) for role, content in first_messages()])

    async def turn(self, conversation: int) -> int:
        """Do what the runner does."""
        session = self._session(conversation)
        items = await session.get_items()
        await session.add_items([item("user", question())])
        await session.add_items([item("assistant", answer())])
        return len(items) + 1

    async def history(self, conversation: int) -> int:
        """Get all items."""
        return len(await self._session(conversation).get_items())

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()

    def _session(self, conversation: int) -> SQLAlchemySession:
        return SQLAlchemySession(str(conversation_id(conversation)), engine=self.engine)


def item(role: str, content: str) -> dict[str, str]:
    """Return a message as the SDK keeps it."""
    return {"role": role, "content": content}
