"""Fixtures: an empty and a migrated database, on PostgreSQL 15 and on the embedded one."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres, programs
from tests.support.product import headers_of, running_product
from tests.support.servers import Site, start_older_postgres
from tests.support.serving import Switchboard

OLDEST = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)
type Check = Callable[[Site], Awaitable[None]]


@pytest.fixture(scope="session", params=["embedded", "oldest"])
def server(
    request: pytest.FixtureRequest,
    postgres: RunningPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningPostgres, Path]]:
    """Return a server, and the folder with the programs of its version."""
    if request.param == "embedded":
        yield postgres, programs()
        return
    if not (OLDEST / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    running = start_older_postgres(OLDEST, tmp_path_factory.mktemp("oldest") / "data")
    yield running, OLDEST
    running.stop()


@pytest.fixture
def site(server: tuple[RunningPostgres, Path]) -> Iterator[Site]:
    """Return an empty database of the test's own."""
    yield from make_site(*server)


@pytest.fixture(scope="module")
def module_site(server: tuple[RunningPostgres, Path]) -> Iterator[Site]:
    """Return a database for all tests of a module."""
    yield from make_site(*server)


@pytest.fixture
def migrated(site: Site) -> Site:
    """Return a migrated database of the test's own."""
    site.migrate()
    return site


@pytest.fixture
def check_requests(
    switchboard: Switchboard, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Return what has the product answer from a database: health, turns, a task."""

    async def check(site: Site) -> None:
        chosen = environment | {"DATABASE_URL": site.url}
        async with running_product(switchboard, monkeypatch, chosen) as parley:
            health = await parley.get("/api/health")
            assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
            for user in ("ada", None):
                sent = await parley.say("Hello!", user=user)
                assert sent.status_code == 200, sent.text
            added = await parley.client.post(
                "/api/tasks", json={"title": "Buy milk"}, headers=headers_of("ada")
            )
            assert added.status_code == 201, added.text

    return check


def make_site(server: RunningPostgres, folder: Path) -> Iterator[Site]:
    """Yield an empty database on a server, and drop it; `folder` has the server's programs."""
    name = f"site_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield Site(server.url_of(name, "postgres"), folder)
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
