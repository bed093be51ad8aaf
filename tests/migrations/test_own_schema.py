"""A role and a schema of Parley's own, beside an application that has tables of the same names."""

import re
import subprocess
from collections.abc import AsyncGenerator, Iterator

import psycopg
import pytest

from dev.postgres import programs, start_postgres
from tests.migrations.conftest import OLDEST
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.product import CRON_SECRET, ROOT, Parley, headers_of, running_product
from tests.support.servers import Site, start_older_postgres
from tests.support.serving import Switchboard

README = (ROOT / "README.md").read_text(encoding="utf-8")
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
    WHERE pronamespace = 'parley'::regnamespace AND prosecdef
"""


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
    application.run(_commands())
    site = Site(application.url.replace("neondb_owner@", "parley_owner@"), application.programs)
    site.migrate()
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
        chosen = environment | {"DATABASE_URL": own.url}
        async with running_product(switchboard, monkeypatch, chosen) as running:
            yield running
        return
    if find_pgbouncer() is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path_factory.mktemp("pgbouncer")
    with running_pgbouncer(own.url, folder, ("parley_owner", "neondb_owner")) as port:
        chosen = environment | {"DATABASE_URL": through(own.url, port)}
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

    assert _state_of(application) == before


def test_the_path_is_that_of_parleys_role_alone_and_functions_have_it_fixed(
    own: Site, application: Site
) -> None:
    assert own.rows("SHOW search_path") == [("parley",)]
    assert application.rows("SHOW search_path") == [('"$user", public',)]
    assert own.rows(PATHS) == [("search_path=parley, pg_temp",)]
    assert own.migrate() == []


def test_the_path_holds_through_the_pooler_for_each_role_its_own(
    own: Site, application: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if find_pgbouncer() is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path_factory.mktemp("pgbouncer")
    with running_pgbouncer(own.url, folder, ("parley_owner", "neondb_owner")) as port:
        for _ in range(3):
            for site, path in ((own, "parley"), (application, '"$user", public')):
                pooled = Site(through(site.url, port), site.programs)
                assert pooled.rows("SHOW search_path") == [(path,)]


def test_parleys_role_may_not_read_the_applications_tables(own: Site) -> None:
    for table in TABLES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.rows(f"SELECT * FROM public.{table}")


def test_parleys_schema_is_dumped_and_restored_without_the_applications(
    own: Site, application: Site
) -> None:
    own.run("INSERT INTO users (id) VALUES ('bob')")
    application.run("GRANT CREATE ON DATABASE restored TO parley_owner")
    restored = Site(own.url.replace("/neondb", "/restored"), own.programs)
    dump = [own.programs / "pg_dump", "--no-owner", "--schema=parley", own.url]
    dumped = subprocess.run(dump, check=True, capture_output=True, text=True)
    psql = [own.programs / "psql", restored.url, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]

    done = subprocess.run(psql, check=False, input=dumped.stdout, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert restored.migrate() == []
    assert restored.rows("SELECT id FROM users") == [("bob",)]
    assert restored.rows(PATHS) == own.rows(PATHS)


def test_taken_back_parley_leaves_the_applications_tables(own: Site, application: Site) -> None:
    before = _state_of(application)

    own.roll_back_all()

    assert _state_of(application) == before
    assert own.migrate() != []


def _commands() -> str:
    """Return the SQL that README.md has an operator run."""
    found = re.search(r"\*\*A schema of its own\.\*\*.*?<<'SQL'\n(.*?)\nSQL\n", README, re.DOTALL)
    assert found
    return found[1]


def _state_of(application: Site) -> list[object]:
    """Return how the application's tables are made, and their rows."""
    rows = [application.rows(f"SELECT * FROM public.{table}") for table in TABLES]
    return [application.schema("--schema=public"), *rows]
