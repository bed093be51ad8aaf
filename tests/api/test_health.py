"""GET /api/health: what it says when all is well, and what is wrong when something is."""

import socket
import time
from collections.abc import Iterator

import psycopg
import pytest

from lib import __version__
from tests.support.product import CHAT_ID, ROOT, Parley, problem_of, running_product
from tests.support.serving import Switchboard

MIGRATIONS = sorted(
    file.stem for file in (ROOT / "sql/migrations").glob("*.sql") if ".down" not in file.name
)
# Of the twenty that were folded into ten: a few that every such database has.
BEFORE_VERSION_0_1 = ("001_users", "002_conversations", "018_begin_turn", "020_list_turn_messages")


async def test_all_is_well(parley: Parley) -> None:
    response = await parley.get("/api/health")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "version": __version__,
        "database": {
            "migration": MIGRATIONS[-1],
            "pool": {"max": 10, "size": 1, "idle": 1, "waiting": 0},
        },
    }


async def test_liveness_is_told_without_a_database(
    unreachable_url: str, switchboard: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_product(
        switchboard, monkeypatch, {"DATABASE_URL": unreachable_url}
    ) as parley:
        for path in ("/api/health?live", "/api/health?live=1"):
            response = await parley.client.get(path)

            assert response.status_code == 200
            assert response.json() == {"status": "ok", "version": __version__}
        assert (await parley.client.head("/api/health?live")).status_code == 200


@pytest.mark.environment(DB_POOL_MAX="3", OPENAI_API_KEY=None, JWT_SECRET=None, CRON_SECRET=None)
async def test_health_needs_nothing_but_the_database(parley: Parley) -> None:
    response = await parley.client.get("/api/health", headers={"authorization": "nonsense"})

    assert response.status_code == 200
    assert response.json()["database"]["pool"]["max"] == 3


@pytest.mark.environment(CRON_SECRET=None, RETENTION_DAYS="7")
async def test_a_retention_period_without_a_cron_is_told_with_its_remedy(parley: Parley) -> None:
    response = await parley.get("/api/health")

    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    [warning] = response.json()["warnings"]
    assert "older than 7 days are hidden, but not deleted" in warning
    assert "Set CRON_SECRET" in warning
    assert (await parley.get("/api/health", live="")).json()["status"] == "ok"


@pytest.mark.environment(CRON_SECRET=None, RETENTION_DAYS="0")
async def test_without_a_retention_period_no_cron_is_missed(parley: Parley) -> None:
    response = await parley.get("/api/health")

    assert response.json()["status"] == "ok"
    assert "warnings" not in response.json()


@pytest.fixture(params=["refuses", "is silent"])
def unreachable_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of no database: nobody listens, or somebody who never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "is silent":
            listener.listen()
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing"


async def test_a_database_that_cannot_be_reached_is_told_after_db_pool_timeout(
    unreachable_url: str, switchboard: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"DATABASE_URL": unreachable_url, "DB_POOL_TIMEOUT": "1"}
    async with running_product(switchboard, monkeypatch, environment) as parley:
        started = time.monotonic()

        response = await parley.get("/api/health")

        assert 1 <= time.monotonic() - started < 2
    problem_of(response, 503, "database_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert "nobody" not in response.text
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    "missing", [MIGRATIONS[-1:], [MIGRATIONS[0], MIGRATIONS[2]]], ids=lambda missing: missing[0]
)
async def test_migrations_that_are_missing_are_named(
    parley: Parley, database: psycopg.Connection, missing: list[str]
) -> None:
    database.execute("DELETE FROM schema_migrations WHERE name = ANY (%s)", (missing,))

    detail = problem_of(await parley.get("/api/health"), 503, "database_not_migrated")["detail"]

    assert [name for name in MIGRATIONS if name in detail] == missing


async def test_a_later_versions_migrations_do_no_harm(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("INSERT INTO schema_migrations (name) VALUES ('999_of_the_future')")

    assert (await parley.get("/api/health")).json()["database"]["migration"] == MIGRATIONS[-1]


async def test_a_database_of_migrations_that_were_replaced_has_to_be_made_again(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("DELETE FROM schema_migrations")
    database.execute(
        "INSERT INTO schema_migrations (name) SELECT unnest(%s::text[])", [[*BEFORE_VERSION_0_1]]
    )

    detail = problem_of(await parley.get("/api/health"), 503, "database_not_migrated")["detail"]

    assert "001_users, 002_conversations" in detail
    assert "Make a new one: psql -X -f sql/migrate.sql on an empty database or schema" in detail


async def test_an_empty_database_lacks_all_migrations_by_name(
    empty_database_url: str, switchboard: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"DATABASE_URL": empty_database_url}
    async with running_product(switchboard, monkeypatch, environment) as parley:
        health = await parley.get("/api/health")
        history = await parley.get("/api/history", conversation_id=CHAT_ID)

    problem_of(history, 503, "database_not_migrated")
    detail = problem_of(health, 503, "database_not_migrated")["detail"]
    assert [name for name in MIGRATIONS if name in detail] == MIGRATIONS
