"""The requirement documents' own design: FastAPI, SQLModel and asyncpg.

The models, indexes and queries are those of "Database Implementation Plan: Phase III AI Chatbot
Storage" (the second document), with `user_id` checked as the third one wants it. Where the document
leaves a choice, it is the one that costs least: a request has one session, objects do not expire
when it commits, the message and the conversation's time are one transaction, and what the model is
to read is read before that ends. The connection is not held while the model answers.
`app` is the backend with both endpoints.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from os import environ
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import CheckConstraint, DateTime, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel import Column, Field, Relationship, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.peers.engines import engine_of
from bench.workload import CONVERSATIONS, Place, answer, conversation_id, first_messages, question

HISTORY = 20
TIMESTAMP = DateTime(timezone=True)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class ConversationStatus(StrEnum):
    """What a conversation is."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class User(SQLModel, table=True):
    """Whom conversations belong to."""

    __tablename__ = "users"

    id: str = Field(max_length=255, primary_key=True)


class Conversation(SQLModel, table=True):
    """A chat session's metadata."""

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'archived')"),
        Index("idx_conversations_updated_at", "updated_at"),
        Index("idx_conversations_user_status", "user_id", "status"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    status: str = Field(default=ConversationStatus.ACTIVE, max_length=20)
    created_at: datetime = Field(default_factory=now, sa_type=TIMESTAMP)
    updated_at: datetime = Field(default_factory=now, sa_type=TIMESTAMP)

    messages: list["Message"] = Relationship(back_populates="conversation")


class Message(SQLModel, table=True):
    """One message."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'assistant')"),
        CheckConstraint("role != 'user' OR length(content) <= 1000", "chk_user_message_length"),
        Index("idx_messages_conversation_created", "conversation_id", "created_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    conversation_id: UUID = Field(foreign_key="conversations.id", ondelete="CASCADE", index=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    role: str = Field(max_length=20)
    content: str
    # `metadata` is SQLAlchemy's own name.
    details: dict[str, Any] | None = Field(default=None, sa_column=Column("metadata", JSONB))
    created_at: datetime = Field(default_factory=now, sa_type=TIMESTAMP)

    conversation: Conversation | None = Relationship(back_populates="messages")


class ConversationRepository:
    """The document's query patterns."""

    def __init__(self, session: AsyncSession) -> None:
        """Take the request's session."""
        self.session = session

    async def find(self, conversation_id: UUID, user_id: str) -> Conversation:
        """Return a conversation of this user."""
        found = await self.session.exec(
            select(Conversation).where(
                Conversation.id == conversation_id, Conversation.user_id == user_id
            )
        )
        conversation = found.first()
        if conversation is None:
            raise HTTPException(404, "Conversation not found")
        return conversation

    async def messages(self, conversation_id: UUID, limit: int = HISTORY) -> list[Message]:
        """Return the last messages, oldest first (pattern 2)."""
        found = await self.session.exec(
            select(Message)
            .where(Message.conversation_id == conversation_id)
            .order_by(Message.created_at.desc())
            .limit(limit)
        )
        return list(reversed(found.all()))

    def add_message(self, conversation: Conversation, role: str, content: str) -> Message:
        """Add a message and say when the conversation was last used (pattern 3)."""
        message = Message(
            conversation_id=conversation.id,
            user_id=conversation.user_id,
            role=role,
            content=content,
        )
        self.session.add(message)
        conversation.updated_at = now()
        return message


@cache
def engine() -> AsyncEngine:
    """Return the engine of this process."""
    return create_async_engine(environ["DATABASE_URL"], pool_size=10, max_overflow=20)


async def get_session() -> AsyncIterator[AsyncSession]:
    """Give a request its session."""
    async with AsyncSession(engine(), expire_on_commit=False) as session:
        yield session


class ChatRequest(BaseModel):
    """A message."""

    conversation_id: UUID
    user_id: str
    message: str


class ChatResponse(BaseModel):
    """An answer, and how many messages the model was given."""

    message: str
    read: int


app = FastAPI()
type Session = Annotated[AsyncSession, Depends(get_session)]


@app.post("/api/chat")
async def chat(request: ChatRequest, session: Session) -> ChatResponse:
    """Store a message, have it answered, and store the answer."""
    repository = ConversationRepository(session)
    conversation = await repository.find(request.conversation_id, request.user_id)
    repository.add_message(conversation, "user", request.message)
    messages = await repository.messages(conversation.id)
    await session.commit()
    answer = await ask_model(messages)
    repository.add_message(conversation, "assistant", answer)
    await session.commit()
    return ChatResponse(message=answer, read=len(messages))


@app.get("/api/history")
async def history(conversation_id: UUID, user_id: str, session: Session) -> list[Message]:
    """Return the last messages of a conversation."""
    repository = ConversationRepository(session)
    conversation = await repository.find(conversation_id, user_id)
    return await repository.messages(conversation.id)


async def ask_model(messages: list[Message]) -> str:
    """Answer at once."""
    assert messages[-1].role == "user"
    return answer()


def open_candidate(place: Place) -> "Seeds":
    """Make the candidate; nothing is opened."""
    return Seeds(engine_of(place))


class Seeds:
    """The candidate: the endpoints' functions, each call with a session of its own."""

    def __init__(self, own_engine: AsyncEngine) -> None:
        """Take the engine."""
        self.engine = own_engine
        self.sessions = async_sessionmaker(own_engine, class_=AsyncSession, expire_on_commit=False)

    async def prepare(self) -> None:
        """Make the tables and fill them."""
        async with self.engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
        async with self.sessions() as session:
            for number in range(CONVERSATIONS):
                session.add(User(id=user_of(number)))
                await session.flush()
                conversation = Conversation(id=conversation_id(number), user_id=user_of(number))
                session.add(conversation)
                await session.flush()
                for role, content in first_messages():
                    ConversationRepository(session).add_message(conversation, role, content)
                await session.flush()
            await session.commit()
            stored = await session.exec(select(func.count()).select_from(Message))
            assert stored.one() == CONVERSATIONS * len(first_messages())

    async def turn(self, conversation: int) -> int:
        """Do what POST /api/chat does."""
        async with self.sessions() as session:
            request = ChatRequest(
                conversation_id=conversation_id(conversation),
                user_id=user_of(conversation),
                message=question(),
            )
            return (await chat(request, session)).read

    async def history(self, conversation: int) -> int:
        """Do what GET /api/history does."""
        async with self.sessions() as session:
            found = await history(conversation_id(conversation), user_of(conversation), session)
            return len(found)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


def user_of(number: int) -> str:
    """Return whose a conversation is."""
    return f"user-{number}"
