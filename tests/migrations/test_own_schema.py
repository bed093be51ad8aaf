"""PARLEY_SCHEMA: a schema of Parley's own, beside an application's tables of the same names."""

import subprocess
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace

import psycopg
import pytest

from dev.postgres import programs, start_postgres
from lib.settings import settings
from tests.migrations.conftest import OLDEST
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.product import CRON_SECRET, Parley, headers_of, problem_of, running_product
from tests.support.servers import Site, start_older_postgres
from tests.support.serving import Switchboard

# The tables of an application, none of which can serve, and a row in each.
APPLICATION = """
    CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL UNIQUE);
    CREATE TABLE tasks (id serial PRIMARY KEY, done boolean NOT NULL);
    CREATE TABLE conversations (id serial PRIMARY KEY, topic text);
    CREATE TABLE chat_messages (id serial PRIMARY KEY, body text NOT NULL);
    CREATE TABLE schema_migrations (version bigint PRIMARY KEY);
    INSERT INTO users (email) VALUES ('ada@example.com');
    INSERT INTO tasks (done) VALUES (TRUE);
    INSERT INTO conversations (topic) VALUES ('The weather');
    INSERT INTO chat_messages (body) VALUES ('It rains');
    INSERT INTO schema_migrations VALUES (42);
"""
TABLES = ("users", "tasks", "conversations", "chat_messages", "schema_migrations")
PATHS = """
    SELECT DISTINCT (SELECT each FROM unnest(proconfig) AS each WHERE each LIKE 'search_path=%')
    FROM pg_proc
    WHERE pronamespace = 'parley'::regnamespace AND prosqlbody IS NULL
"""
ROLES = (
    "SELECT rolname, rolconfig FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'parley_app'"
)


@pytest.fixture(scope="module", params=["embedded", "oldest"])
def application(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Return the application's database on a server without Parley, as its owner on Neon has it.

    On a server of its own, because roles belong to the server.
    """
    folder = tmp_path_factory.mktemp("application") / "data"
    if request.param == "embedded":
        server, version = start_postgres(folder, tcp=True, durable=False), programs()
    elif (OLDEST / "postgres").exists():
        server, version = start_older_postgres(OLDEST, folder), OLDEST
    else:
        pytest.skip("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE ROLE neondb_owner LOGIN CREATEROLE CREATEDB")
        for name in ("neondb", "restored"):
            admin.execute(f"CREATE DATABASE {name} OWNER neondb_owner".encode())
    site = Site(server.url_of("neondb", "neondb_owner"), version)
    site.run(APPLICATION)
    yield site
    server.stop()


@pytest.fixture(scope="module")
def own(application: Site) -> Site:
    """Return Parley's side of the database, migrated as README.md says after a refusal."""
    before = application.schema()
    assert "tables exist already that Parley did not make" in application.migrate_in_vain()
    assert application.schema() == before
    roles = application.rows(ROLES)
    site = Site(application.url, application.programs, "parley")
    site.migrate()
    assert application.rows(ROLES) == roles
    return site


@pytest.fixture(params=["direct", "pooled"])
async def parley(
    request: pytest.FixtureRequest,
    own: Site,
    tmp_path_factory: pytest.TempPathFactory,
    switchboard: Switchboard,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product on Parley's schema, directly and through PgBouncer."""
    if request.param == "direct":
        chosen = environment | {"DATABASE_URL": own.url, "PARLEY_SCHEMA": "parley"}
        async with running_product(switchboard, monkeypatch, chosen) as running:
            yield running
        return
    if find_pgbouncer() is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path_factory.mktemp("pgbouncer")
    with running_pgbouncer(own.url, folder, ("neondb_owner",)) as port:
        chosen = environment | {"DATABASE_URL": through(own.url, port), "PARLEY_SCHEMA": "parley"}
        async with running_product(switchboard, monkeypatch, chosen) as running:
            yield running


async def test_parley_works_in_its_schema_and_the_applications_tables_stay_as_they_were(
    parley: Parley, own: Site, application: Site
) -> None:
    before = _state_of(application)

    assert (await parley.get("/api/health")).status_code == 200
    answer = await parley.say("Hello!", user="ada", conversation_id="a conversation of Ada's")
    assert answer.status_code == 200, answer.text
    stored = own.rows("SELECT content FROM parley.chat_messages WHERE role = 'user'")
    assert stored == [("Hello!",)]
    assert await parley.said("a conversation of Ada's", user="ada") != []
    for path in ("conversations", "conversations?q=hello", "conversations?export=true"):
        response = await parley.client.get(f"/api/{path}", headers=headers_of("ada"))
        assert response.status_code == 200, response.text
        assert "Hello!" in response.text, path
    added = await parley.client.post(
        "/api/tasks", json={"title": "Buy milk"}, headers=headers_of("ada")
    )
    assert added.status_code == 201, added.text
    assert own.rows("SELECT title FROM parley.tasks") == [("Buy milk",)]
    cleaned = await parley.client.get(
        "/api/cron/cleanup", headers={"authorization": f"Bearer {CRON_SECRET}"}
    )
    assert cleaned.status_code == 200, cleaned.text
    left = await parley.client.delete("/api/auth", headers=headers_of("ada"))
    assert left.status_code == 204, left.text
    assert own.rows("SELECT count(*) FROM parley.chat_messages") == [(0,)]
    # So that the same user may come to the next case.
    own.run("DELETE FROM parley.deleted_users")

    assert _state_of(application) == before


def test_migrating_leaves_the_roles_and_their_paths_and_fixes_that_of_each_function(
    own: Site, application: Site
) -> None:
    assert application.rows("SHOW search_path") == [('"$user", public',)]
    assert own.rows(PATHS) == [("search_path=parley, pg_temp",)]
    assert own.migrate() == []


async def test_the_path_ends_with_the_transaction_that_set_it_also_in_a_pooled_connection(
    parley: Parley,
) -> None:
    url = str(settings().database_url)
    for _ in range(3):
        assert (await parley.get("/api/health")).status_code == 200
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            cursor = await other.execute("SHOW search_path")
            assert await cursor.fetchone() == ('"$user", public',)


@pytest.mark.parametrize(
    ("migrated_into", "chosen", "words"),
    [
        ("parley", None, "in the schema parley of the database, but PARLEY_SCHEMA is not set"),
        ("parley", "other", 'PARLEY_SCHEMA is "other" for this deployment'),
        (None, "parley", "Remove PARLEY_SCHEMA here, or migrate with PARLEY_SCHEMA=parley"),
    ],
)
async def test_health_says_where_parleys_tables_are_if_the_functions_look_elsewhere(
    site: Site,
    migrated_into: str | None,
    chosen: str | None,
    words: str,
    switchboard: Switchboard,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace(site, own_schema=migrated_into).migrate()
    variables = environment | {"DATABASE_URL": site.url}
    variables |= {"PARLEY_SCHEMA": chosen} if chosen else {}
    async with running_product(switchboard, monkeypatch, variables) as parley:
        health = await parley.get("/api/health")

    assert words in problem_of(health, 503, "database_not_migrated")["detail"]


@pytest.mark.parametrize("name", ["Parley", "a,b", "pg_parley", "x; DROP SCHEMA public"])
def test_a_name_that_functions_refuse_stops_the_migration(site: Site, name: str) -> None:
    complaint = replace(site, own_schema=name).migrate_in_vain()

    assert f'PARLEY_SCHEMA cannot be "{name}"' in complaint
    assert site.schema() == "\n"


def test_parleys_schema_is_dumped_and_restored_without_the_applications(
    own: Site,
) -> None:
    own.run("INSERT INTO parley.users (id) VALUES ('bob')")
    restored = replace(own, url=own.url.rpartition("/")[0] + "/restored")
    dump = [own.programs / "pg_dump", "--no-owner", "--schema=parley", own.url]
    dumped = subprocess.run(dump, check=True, capture_output=True, text=True)
    psql = [own.programs / "psql", restored.url, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]

    done = subprocess.run(psql, check=False, input=dumped.stdout, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert restored.migrate() == []
    assert restored.rows("SELECT id FROM parley.users") == [("bob",)]
    assert restored.rows(PATHS) == own.rows(PATHS)


def test_taken_back_parley_leaves_the_applications_tables(own: Site, application: Site) -> None:
    before = _state_of(application)

    own.roll_back_all()

    assert _state_of(application) == before
    assert own.migrate() != []


def _state_of(application: Site) -> list[object]:
    """Return how the application's tables are made, and their rows."""
    rows = [application.rows(f"SELECT * FROM public.{table}") for table in TABLES]
    return [application.schema("--schema=public"), *rows]
