"""GET /api/health: what it says when all is well, and what is wrong when something is."""

import socket
import time
from collections.abc import AsyncGenerator, Iterator

import httpx2
import psycopg
import pytest

from lib import __version__
from tests.support.product import (
    CHAT_ID,
    CRON_SECRET,
    ROOT,
    Parley,
    problem_of,
    running_product,
)
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


async def test_a_later_versions_migrations_do_no_harm_and_are_told(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("INSERT INTO schema_migrations (name) VALUES ('999_of_the_future')")

    health = (await parley.get("/api/health")).json()
    assert (health["status"], health["database"]["migration"]) == ("degraded", MIGRATIONS[-1])
    [warning] = health["warnings"]
    assert "A later version has migrated this database (999_of_the_future)" in warning


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


# What is done to the database, the fault that strangers are told, and what else the operator is.
FAULTS = {
    "a privilege that is missing": (
        "REVOKE INSERT ON chat_messages FROM parley_app",
        "sql/privileges.sql",
        "parley_app lacks INSERT on table public.chat_messages",
    ),
    "the right to look is missing": (
        "REVOKE EXECUTE ON FUNCTION list_faults() FROM parley_app",
        "sql/privileges.sql",
        "parley_app lacks EXECUTE on function public.list_faults()",
    ),
    "the schema is closed": (
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC, parley_app",
        "sql/privileges.sql",
        "parley_app lacks USAGE on schema public",
    ),
    "a sequence that is late": (
        """
        INSERT INTO users (id) VALUES ('ada');
        INSERT INTO tasks (id, user_id, title) OVERRIDING SYSTEM VALUE VALUES (7, 'ada', 'Call')
        """,
        "sql/sequences.sql",
        "public.tasks_id_seq would give 1 next, and tasks has 7 already",
    ),
    "functions of another version": ("DROP FUNCTION list_faults()", "sql/migrate.sql", ""),
}


@pytest.fixture
async def direct(
    database_url: str,
    environment: dict[str, str],
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product without a pooler, whose sessions would keep what was set before."""
    chosen = environment | {"DATABASE_URL": database_url}
    async with running_product(switchboard, monkeypatch, chosen) as running:
        yield running


@pytest.mark.parametrize(("done", "cure", "told"), FAULTS.values(), ids=list(FAULTS))
async def test_what_keeps_requests_from_work_is_told_with_its_cure_and_named_to_the_operator_alone(
    direct: Parley, database: psycopg.Connection, done: str, cure: str, told: str
) -> None:
    database.execute(done.encode())

    detail = problem_of(await direct.get("/api/health"), 503, "database_not_migrated")["detail"]
    named = problem_of(await ask_as_operator(direct), 503, "database_not_migrated")["detail"]

    assert f'psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f {cure}' in detail
    assert told in named
    for name in ("chat_messages", "tasks", "list_faults", "public"):
        assert name not in detail


async def test_privileges_of_others_are_a_warning_and_named_to_the_operator_alone(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC")
    try:
        [warning] = (await parley.get("/api/health")).json()["warnings"]
        response = await ask_as_operator(parley)
    finally:
        database.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")

    assert warning.endswith("-v ON_ERROR_STOP=1 -f sql/privileges.sql")
    assert "PUBLIC" not in warning
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    [named] = response.json()["warnings"]
    assert "PUBLIC has EXECUTE on function public.act_as_caller(" in named
    assert named.endswith(" more)")


async def test_a_database_that_only_reads_is_told(
    direct: Parley, database: psycopg.Connection
) -> None:
    name = database.info.dbname
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())

    problem = problem_of(await direct.get("/api/health"), 503, "database_unavailable")

    assert problem["detail"].startswith("The database only reads")


@pytest.mark.parametrize(
    ("granted", "fault"),
    [
        ("GRANT parley_app TO health_guest", "does not own Parley's tables"),
        ("GRANT postgres TO health_guest", "may not act as parley_app"),
        ("GRANT postgres, parley_app TO health_guest", None),
    ],
)
async def test_a_role_that_may_not_do_what_requests_do_is_told(
    database_url: str,
    database: psycopg.Connection,
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
    granted: str,
    fault: str | None,
) -> None:
    database.execute("CREATE ROLE health_guest LOGIN")
    try:
        database.execute(granted.encode())
        url = database_url.replace("//postgres@", "//health_guest@")
        environment = {"DATABASE_URL": url, "CRON_SECRET": CRON_SECRET}
        async with running_product(switchboard, monkeypatch, environment) as parley:
            health = await parley.get("/api/health")
            named = await ask_as_operator(parley)
    finally:
        database.execute("DROP OWNED BY health_guest; DROP ROLE health_guest")

    if fault is None:
        assert health.status_code == 200, health.text
        return
    assert fault in problem_of(health, 503, "database_not_migrated")["detail"]
    assert "health_guest" not in health.text
    assert "the role is health_guest" in named.text


async def ask_as_operator(parley: Parley) -> httpx2.Response:
    """Ask for the health with the deployment's CRON_SECRET."""
    headers = {"authorization": f"Bearer {CRON_SECRET}"}
    return await parley.client.get("/api/health", headers=headers)
