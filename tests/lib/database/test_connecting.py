"""Connects that fail: told apart, made again with growing pauses, and not where it is no use."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres
from lib.database._problems import NO_CONNECTION_LEFT, REFUSED
from lib.database.acting import LIMIT_TIME
from lib.database.client import Database
from lib.database.connecting import ConnectFailedError, reason_in
from lib.problems import DatabaseUnavailable
from lib.settings import read_settings
from tests.support.databases import drop_database
from tests.support.product import forget_process
from tests.support.proxy import Proxy, proxied

# As psycopg raises them, with libpq 18; the last ones are Neon's, Supabase's and PgBouncer's.
SAID = {
    "failed to resolve host 'db.invalid': [Errno -2] Name or service not known": "name_unknown",
    'connection to server at "127.0.0.1", port 1 failed: Connection refused': "refused",
    "connection timeout expired": "timed_out",
    'at "h", port 1 failed: server does not support SSL, but SSL was required': "no_tls",
    "SSL error: certificate verify failed": "certificate",
    'FATAL:  password authentication failed for user "ann"': "wrong_password",
    "fe_sendauth: no password supplied": "wrong_password",
    'FATAL:  database "nothing" does not exist': "no_database",
    'FATAL:  role "ann" does not exist': "no_role",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.5", user "a", SSL off': "not_allowed",
    "FATAL:  sorry, too many clients already": "full",
    'FATAL:  too many connections for role "ann"': "full",
    "FATAL:  remaining connection slots are reserved for roles": "full",
    "FATAL:  the database system is starting up": "starting",
    "FATAL:  the database system is shutting down": "starting",
    "FATAL:  unsupported startup parameter: options": "settings_refused",
    "FATAL:  Tenant or user not found": "host_unknown_to_proxy",
    "FATAL:  MaxClientsInSessionMode: max clients reached": "full",
    "ERROR:  no more connections allowed (max_client_conn)": "full",
    "FATAL:  kaputt": "other",
}


@pytest.mark.parametrize(("text", "reason"), SAID.items())
def test_the_words_of_a_failed_connect_tell_its_reason(text: str, reason: str) -> None:
    assert reason_in(text) == reason


def test_the_log_gets_the_servers_words_without_an_address() -> None:
    words = 'connection to server at "10.0.0.9": FATAL:  no pg_hba.conf entry for host "10.0.0.5"'

    assert str(ConnectFailedError(psycopg.OperationalError(words))) == (
        "not_allowed: no pg_hba.conf entry for host …"
    )


@pytest.fixture
def role(postgres: RunningPostgres) -> Iterator[str]:
    """Return a role for which a limit of connections counts, as it does not for a superuser."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        yield "few"
        admin.execute("DROP ROLE few")


@pytest.fixture
def set_limit(postgres: RunningPostgres, role: str) -> Callable[[int], None]:
    """Return the function that sets how many connections the role may have."""

    def limit(connections: int) -> None:
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute(
                SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(Identifier(role), connections)
            )

    return limit


@asynccontextmanager
async def connected(
    url: str, monkeypatch: pytest.MonkeyPatch, **variables: str
) -> AsyncGenerator[tuple[Database, Proxy]]:
    """Yield the database of a process, and the proxy that counts its connects."""
    async with proxied(url) as (proxy, proxied_url):
        proxy.delay_seconds = 0
        environment = {"DATABASE_URL": proxied_url, "DB_POOL_MAX": "2"} | variables
        monkeypatch.setenv("DATABASE_URL", proxied_url)
        forget_process()
        database = Database(read_settings(environment))
        yield database, proxy
        await database.close()
        forget_process()


async def test_a_request_that_finds_no_slot_tries_a_few_times_and_goes_on_when_there_is_one(
    postgres: RunningPostgres,
    role: str,
    set_limit: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with connected(postgres.url_of("postgres", role), monkeypatch) as (database, proxy):
        asking = asyncio.create_task(database.run(LIMIT_TIME(timeout_ms=1)))
        await asyncio.sleep(1)
        set_limit(5)
        await asking

        # At 0, 0.2, 0.6 and 1.4 seconds.
        assert 3 <= proxy.connections <= 6


async def test_requests_without_a_slot_share_their_attempts_and_end_in_a_true_503_in_time(
    postgres: RunningPostgres, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url_of("postgres", role)
    async with connected(url, monkeypatch, DB_POOL_TIMEOUT="1.5") as (database, proxy):
        asking = [database.run(LIMIT_TIME(timeout_ms=1)) for _ in range(40)]
        started = time.monotonic()
        problems = await asyncio.gather(*asking, return_exceptions=True)

        assert time.monotonic() - started < 5
        assert {str(problem) for problem in problems} == {NO_CONNECTION_LEFT}
        assert all(isinstance(problem, DatabaseUnavailable) for problem in problems)
        # The first two at once, as many as the pool may have; then one at a time.
        assert proxy.connections <= 7


async def test_a_refusal_that_only_an_operator_can_end_is_told_at_once_and_not_repeated(
    postgres: RunningPostgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url_of("not_there", "postgres")
    async with connected(url, monkeypatch) as (database, proxy):
        with caplog.at_level("INFO"):
            asked = [await _problem(database) for _ in range(30)]

        # Some pauses are over meanwhile.
        assert proxy.connections <= 5
        assert {str(problem) for problem in asked} == {REFUSED}
        assert {problem.headers["retry-after"] for problem in asked} == {"60"}
        assert r"database \"not_there\" does not exist" in caplog.text

        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE not_there")
        try:
            await _eventually(database)
        finally:
            await database.close()
            drop_database(postgres, "not_there")


async def _problem(database: Database) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as told:
        # Long before DB_POOL_TIMEOUT.
        await asyncio.wait_for(database.run(LIMIT_TIME(timeout_ms=1)), 10)
    return told.value


async def _eventually(database: Database) -> None:
    """Ask until the pause is over, which is at most ten seconds."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await database.run(LIMIT_TIME(timeout_ms=1))
                return
            await asyncio.sleep(0.05)


async def test_a_burst_of_requests_after_an_outage_gets_all_connections_of_the_pool(
    postgres: RunningPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(postgres.url, monkeypatch, DB_POOL_MAX="4") as (database, proxy):
        proxy.refuses = True
        asking = [asyncio.create_task(database.run(LIMIT_TIME(timeout_ms=1))) for _ in range(20)]
        await asyncio.sleep(0.5)
        proxy.refuses = False
        await asyncio.gather(*asking)

        assert database.pool_metrics()["waiting"] == 0
        assert 1 <= database.pool_metrics()["size"] <= 4
