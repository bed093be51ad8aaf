"""list_slow_statements: where pg_stat_statements is, and where it is not."""

from collections.abc import Iterator

import psycopg
import pytest

from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from lib.conversations.listing import LIST_CONVERSATIONS
from lib.database.statements import Call
from lib.operations.metrics import LIST_SLOW_STATEMENTS, SlowStatement
from tests.support.product import ROOT


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """Return a server that counts what its statements take, as Neon's does."""
    server = start_postgres(
        tmp_path_factory.mktemp("counting") / "data",
        tcp=True,
        durable=False,
        settings={"shared_preload_libraries": "pg_stat_statements"},
    )
    migrate(programs() / "psql", server.url, ROOT)
    yield server
    server.stop()


def run(database: psycopg.Connection, call: Call[SlowStatement]) -> list[SlowStatement]:
    """Run a call and return its rows."""
    rows = database.execute(call.statement.sql, call.bound()).fetchall()
    return [SlowStatement(*row) for row in rows]


def test_where_it_is_not_one_row_of_nulls_says_so(database: psycopg.Connection) -> None:
    nulls = SlowStatement(None, None, None, None, None)

    assert run(database, LIST_SLOW_STATEMENTS(page_size=20)) == [nulls]

    # The view without the library that fills it.
    database.execute("CREATE EXTENSION pg_stat_statements")
    assert run(database, LIST_SLOW_STATEMENTS(page_size=20)) == [nulls]


def test_where_it_is_the_products_statements_are_told_by_name_and_no_others(
    counting: RunningPostgres,
) -> None:
    with psycopg.connect(counting.url, autocommit=True) as database:
        database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        database.execute("SELECT pg_stat_statements_reset()")
        parameters = {
            "user_id": "ann",
            "shown_status": "all",
            "cursor_updated_at": None,
            "cursor_id": None,
            "page_size": 20,
            "retention_days": 30,
            "now": None,
        }
        for _ in range(3):
            database.execute(LIST_CONVERSATIONS.sql, parameters)
        database.execute("SELECT 'somebody else''s' /* list_tasks */")

        found = run(database, LIST_SLOW_STATEMENTS(page_size=20))

        assert [(each.statement, each.calls) for each in found] == [("list_conversations", 3)]
        [slow] = found
        assert slow.total_seconds is not None
        assert slow.mean_seconds is not None
        assert 0 < slow.mean_seconds < slow.total_seconds < 1
        assert len(run(database, LIST_SLOW_STATEMENTS(page_size=1))) == 1
