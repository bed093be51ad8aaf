"""Bare: the least that a turn has to do in the database, by hand.

The question is inserted and the conversation's last 20 messages are read; then the answer is
inserted and the conversation is updated. Two pipelines, and so two commits, of the same driver as
Parley's, with no named prepared statement. The tables have the four indexes that a chat cannot do
without: of a conversation by its id, of a user's list, of a conversation's messages in order, and
of a message by its id. There is no pool, but a connection for each turn under way; no constraint,
no lease, no quota, no row-level security, no stream, no search.
"""

from typing import Any
from uuid import UUID, uuid4

import psycopg

from bench.large import insert
from bench.workload import (
    ANSWER_WORDS,
    DAYS,
    MESSAGES_EACH,
    Place,
    answer,
    conversation_id,
    question,
)

type Connection = psycopg.AsyncConnection[tuple[Any, ...]]

TABLES = """
    CREATE TABLE conversations (
        id uuid PRIMARY KEY, user_id text NOT NULL, title text, updated_at timestamptz NOT NULL
    );
    CREATE INDEX ON conversations (user_id, updated_at DESC);
    CREATE TABLE messages (
        id bigint GENERATED ALWAYS AS IDENTITY,
        conversation_id uuid NOT NULL,
        user_id text NOT NULL,
        message_id text NOT NULL DEFAULT gen_random_uuid()::text,
        role text NOT NULL,
        content text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (conversation_id, id)
    );
    CREATE UNIQUE INDEX ON messages (conversation_id, message_id);
"""
ROWS = (
    """
    INSERT INTO conversations
    SELECT
        md5(n::text)::uuid, 'user-' || n %% %(users)s, 'Title ' || n,
        now() - %(every)s * (%(messages)s - n * 20)
    FROM generate_series(0, %(messages)s / 20 - 1) AS n
    """,
    """
    INSERT INTO messages (conversation_id, user_id, role, content, created_at)
    SELECT
        conversation_id, user_id, CASE WHEN is_answer THEN 'assistant' ELSE 'user' END, content, at
    FROM spoken
    """,
)
STORE_MESSAGE = """
    INSERT INTO messages (conversation_id, user_id, message_id, role, content)
    VALUES (%(conversation_id)s, %(user_id)s, %(message_id)s, %(role)s, %(content)s)
"""
READ_MESSAGES = """
    SELECT id, message_id, role, content, created_at FROM messages
    WHERE conversation_id = %(conversation_id)s
    ORDER BY id DESC LIMIT %(page_size)s
"""
TOUCH_CONVERSATION = """
    UPDATE conversations SET updated_at = now()
    WHERE id = %(conversation_id)s AND user_id = %(user_id)s
"""


def open_candidate(place: Place) -> "Bare":
    """Make the candidate; nothing is opened."""
    return Bare(place)


class Bare:
    """The candidate."""

    def __init__(self, place: Place) -> None:
        """Take where it keeps its chats."""
        self._place = place
        self._idle: list[Connection] = []

    async def prepare(self) -> None:
        """Make the tables and fill them."""
        with psycopg.connect(self._place.url) as database:
            database.execute(TABLES)
        insert(
            self._place.url,
            ROWS,
            messages=self._place.messages,
            days=DAYS,
            words=ANSWER_WORDS,
            users=self._place.users,
        )

    async def turn(self, conversation: int) -> int:
        """Take a turn."""
        key = conversation_id(conversation), self._place.user_of(conversation)
        messages = await self.begin(*key, question())
        await self.finish(*key, answer())
        return len(messages)

    async def history(self, conversation: int) -> int:
        """Read the last page."""
        given = {"conversation_id": conversation_id(conversation), "page_size": MESSAGES_EACH}
        return len(await self._send((READ_MESSAGES, given)))

    async def begin(self, conversation: UUID, user: str, question: str) -> list[tuple[Any, ...]]:
        """Store a question; return the conversation's last messages."""
        key = {"conversation_id": conversation, "user_id": user}
        message = {"message_id": str(uuid4()), "role": "user", "content": question}
        return await self._send(
            (STORE_MESSAGE, key | message), (READ_MESSAGES, key | {"page_size": MESSAGES_EACH})
        )

    async def finish(self, conversation: UUID, user: str, answer: str) -> None:
        """Store an answer, and put the conversation at the top of its user's list."""
        key = {"conversation_id": conversation, "user_id": user}
        message = {"message_id": str(uuid4()), "role": "assistant", "content": answer}
        await self._send((STORE_MESSAGE, key | message), (TOUCH_CONVERSATION, key))

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._idle:
            await connection.close()

    async def _send(self, *statements: tuple[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Send statements in a pipeline; return the rows of the last one, if it has any."""
        connection = await self._connection()
        async with connection.pipeline():
            cursors = [await connection.execute(sql.encode(), given) for sql, given in statements]
        last = cursors[-1]
        rows = await last.fetchall() if last.description else []
        self._idle.append(connection)
        return rows

    async def _connection(self) -> Connection:
        if self._idle:
            return self._idle.pop()
        return await psycopg.AsyncConnection.connect(
            self._place.url, autocommit=True, prepare_threshold=None
        )
