"""Time in the database ends: no statement goes on there for a request that was given up."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import LiteralString, cast

import psycopg
import pytest

import lib.database.client
from lib.conversations.listing import SEARCH_CONVERSATIONS
from lib.database.acting import LIMIT_TIME, TimeLimits
from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller
from lib.operations.clean_up import FIRST_BATCH, clean_up
from lib.problems import DatabaseTooSlow, DatabaseUnavailable
from lib.runtime.trace import begin_background
from lib.settings import settings
from tests.support.product import Parley, forget_process, problem_of
from tests.support.proxy import Proxy, proxied

ANN = Caller("ann")
# The functions of the database that steps call, made slow; `runs` counts how often they began,
# because a sequence keeps its value when a transaction is rolled back.
SLOW_SEARCH = """
    CREATE SEQUENCE runs;
    GRANT USAGE ON SEQUENCE runs TO parley_app;
    CREATE OR REPLACE FUNCTION search_conversations(
        query text, wanted_status text, oldest timestamptz, page_size integer, by_index boolean
    )
    RETURNS TABLE (
        conversation_id uuid, chat_message_id bigint, score double precision
    )
    LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('runs'), pg_sleep(60); END $$
"""
SLOW_LOG_IN = """
    CREATE SEQUENCE runs;
    CREATE OR REPLACE FUNCTION find_account(account_email text)
    RETURNS TABLE (
        id text, name text, hashed_password text, is_active boolean, created_at timestamptz
    )
    LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('runs'), pg_sleep(60); END $$
"""
RUNS = "SELECT last_value FROM runs WHERE is_called"
# Other sessions of the test's database that work or wait.
ACTIVE = """
    SELECT query FROM pg_stat_activity
    WHERE
        datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND state <> 'idle'
"""


@pytest.fixture
async def used(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Database]:
    """Return the database of a process that has just begun."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_process()
    begin_background()
    database = Database(settings())
    yield database
    await database.close()
    forget_process()


def statement_of(sql: str, *, timeout_ms: int | None = None) -> Statement[TimeLimits]:
    """Return a statement of the test's own, with the row of limit_time."""
    statement = Statement("database/limit_time", TimeLimits, timeout_ms=timeout_ms)
    statement.sql = cast("LiteralString", sql)
    return statement


# The limits of its own step, after so many seconds.
LIMITS = """
    SELECT
        current_setting('statement_timeout') AS statement_timeout,
        current_setting('lock_timeout') AS lock_timeout,
        current_setting('client_connection_check_interval') AS client_connection_check_interval
    FROM pg_sleep({})
"""
NOW, SLEEP = LIMITS.format(0), LIMITS.format(60)


async def test_a_slow_search_is_sent_once_and_is_over_in_the_database_before_its_problem_comes(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(SLOW_SEARCH)
    monkeypatch.setattr(SEARCH_CONVERSATIONS, "timeout_ms", 300)

    response = await parley.get("/api/conversations", user="ann", q="heart")

    problem = problem_of(response, 503, "search_too_slow")
    assert problem["detail"] == "This search takes too long. Search with fewer or rarer words."
    assert "retry-after" not in response.headers
    assert database.execute(RUNS).fetchall() == [(1,)]
    assert database.execute(ACTIVE).fetchall() == []


@pytest.mark.environment(LOCAL_ACCOUNTS="true")
async def test_a_step_without_a_caller_ends_in_the_database_too(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(SLOW_LOG_IN)
    monkeypatch.setattr(lib.database.client, "TIMEOUT_MS", 300)
    credentials = {"action": "login", "email": "ann@example.com", "password": "long password"}

    response = await parley.client.post("/api/auth", json=credentials)

    problem_of(response, 503, "database_too_slow")
    assert database.execute(RUNS).fetchall() == [(1,)]
    assert database.execute(ACTIVE).fetchall() == []


@pytest.mark.parametrize("table", ["users", "conversations"])
async def test_a_step_that_waits_for_a_lock_leaves_no_session_waiting(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(lib.database.client, "TIMEOUT_MS", 300)

    with database.transaction():
        database.execute(f"LOCK TABLE {table}".encode())
        response = await parley.get("/api/conversations", user="ann")
        # Within the transaction, so that the lock is still held.
        assert database.execute(ACTIVE).fetchall() == []

    problem = problem_of(response, 503, "database_unavailable")
    assert "busy with another change" in problem["detail"]
    assert response.headers["retry-after"] == "5"


async def test_a_statement_gets_eight_seconds_and_a_search_three(used: Database) -> None:
    [usual] = await used.run(statement_of(NOW)())
    [own] = await used.run_as(ANN, None, statement_of(NOW)())
    [search] = await used.run(statement_of(NOW, timeout_ms=SEARCH_CONVERSATIONS.timeout_ms)())

    assert usual == own == TimeLimits("8s", "7200ms", "2s")
    assert search.statement_timeout == "3s"


async def test_of_several_statements_in_a_step_the_largest_limit_counts(used: Database) -> None:
    quick, slow = statement_of(NOW, timeout_ms=100), statement_of(NOW, timeout_ms=20_000)

    for limits in await used.run(quick(), slow(), quick()):
        assert limits[0].statement_timeout == "20s"


async def test_a_limit_does_not_outlive_its_step(
    used: Database, environment: dict[str, str], pgbouncer_port: int | None
) -> None:
    await used.run(statement_of(NOW)())

    # Through PgBouncer the next client gets the session that the step had.
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as other:
        assert other.execute("SHOW statement_timeout").fetchall() == [("0",)]
    assert pgbouncer_port is None or str(pgbouncer_port) in environment["DATABASE_URL"]


@pytest.mark.environment(MAX_DURATION_SECONDS="5", DB_POOL_TIMEOUT="600")
async def test_a_limit_is_shorter_than_the_rest_of_the_functions_time(used: Database) -> None:
    [limits] = await used.run(statement_of(NOW, timeout_ms=30_000)())

    assert 2000 < int(limits.statement_timeout.removesuffix("ms")) < 4000


@pytest.mark.environment(DB_POOL_TIMEOUT="1")
async def test_a_step_that_declares_more_time_than_others_is_waited_for_that_long(
    used: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.database.client, "ANSWER_TIMEOUT_SECONDS", 0.5)

    rows = await used.run(statement_of(LIMITS.format(1.5), timeout_ms=30_000)())

    assert len(rows) == 1


async def test_a_statement_that_took_too_long_leaves_its_connection_to_the_next_step(
    used: Database,
) -> None:
    for _ in range(2):
        with pytest.raises(DatabaseTooSlow):
            await used.run(statement_of(SLEEP, timeout_ms=100)())

    assert used.pool_metrics()["size"] == 1


async def test_a_session_whose_client_is_gone_ends_its_statement(
    environment: dict[str, str], database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _through_proxy(environment, monkeypatch) as (proxy, used):
        call = statement_of(SLEEP, timeout_ms=60_000)()
        waiting = asyncio.create_task(used.run(call))
        await _until_active(database, count=1)

        proxy.refuses = True
        proxy.cut()

        with pytest.raises(DatabaseUnavailable):
            await waiting
        await _until_active(database, count=0)


@asynccontextmanager
async def _through_proxy(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Proxy, Database]]:
    async with proxied(environment["DATABASE_URL"]) as (proxy, url):
        for name, value in (environment | {"DATABASE_URL": url, "DB_POOL_TIMEOUT": "1"}).items():
            monkeypatch.setenv(name, value)
        forget_process()
        begin_background()
        used = Database(settings())
        yield proxy, used
        await used.close()
    forget_process()


async def _until_active(database: psycopg.Connection, count: int) -> None:
    """Wait until so many other sessions work, for half of the time that the statement sleeps."""
    give_up_at = time.monotonic() + 30
    while len(active := database.execute(ACTIVE).fetchall()) != count:
        assert time.monotonic() < give_up_at, active
        await asyncio.sleep(0.05)


async def test_a_batch_of_the_clean_up_that_takes_too_long_is_followed_by_a_smaller_one(
    used: Database, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As slow as a disk that fetches each row, and quick enough for a tenth of the first batch.
    database.execute("""
        INSERT INTO conversations (id, updated_at)
        VALUES (md5('1')::uuid, now() - interval '1 year');
        INSERT INTO chat_messages (conversation_id, role, content, created_at)
        SELECT md5('1')::uuid, 'user', 'Hello!', now() - interval '1 year'
        FROM generate_series(1, 250);
        CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN old; END $$;
        CREATE TRIGGER slow BEFORE DELETE ON chat_messages
        FOR EACH ROW EXECUTE FUNCTION take_time();
    """)
    monkeypatch.setattr(lib.database.client, "TIMEOUT_MS", 700)
    assert FIRST_BATCH * 5 > 700 > FIRST_BATCH // 10 * 5

    report = await clean_up(used)

    assert (report.deleted, report.conversations_deleted, report.remaining) == (250, 1, False)


async def test_limits_cost_a_step_no_round_trip(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _through_proxy(environment, monkeypatch) as (proxy, used):
        await used.run(LIMIT_TIME(timeout_ms=1000))
        proxy.forget()

        await used.run(statement_of(NOW)())

        assert proxy.round_trips == 1
