"""Fixtures: a database as the functions open it, with turns and tasks."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from lib.database.client import Database
from tests.support.product import forget_process
from tests.support.steps.rows import Rows
from tests.support.steps.search import Searched
from tests.support.steps.streams import Streams
from tests.support.steps.tasks import Tasks
from tests.support.steps.turns import Turns, open_database


@pytest.fixture
async def pool(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Return the test's database, as the functions open it, in a process of its own."""
    # `lib.turns.begin` reads its limits from the settings of the process.
    monkeypatch.setenv("DATABASE_URL", database_url)
    # The clock of these tests shows another year.
    monkeypatch.setenv("RETENTION_DAYS", "0")
    for limit in ("MESSAGES_PER_MINUTE", "MESSAGES_PER_DAY", "TOKENS_PER_DAY", "BYTES_PER_DAY"):
        monkeypatch.setenv(limit, "0")
    forget_process()
    opened = open_database(database_url)
    yield opened
    await opened.close()
    forget_process()


@pytest.fixture
def turns(pool: Database) -> Turns:
    """Return turns in a conversation of the test's own."""
    return Turns(pool)


@pytest.fixture
def streams(turns: Turns) -> Streams:
    """Return the streams of the test's turns."""
    return Streams(turns)


@pytest.fixture
def tasks(pool: Database) -> Tasks:
    """Return the tasks of the test's own database."""
    return Tasks(pool)


@pytest.fixture
def rows(database: psycopg.Connection) -> Rows:
    """Return the stored rows."""
    return Rows(database)


@pytest.fixture
def searched(pool: Database, rows: Rows) -> Searched:
    """Return an empty set of conversations to search."""
    return Searched(pool, rows)
