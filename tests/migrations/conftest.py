"""Fixtures: an empty and a migrated database, on PostgreSQL 15 and on the embedded one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres, programs
from tests.support.servers import Site, start_older_postgres

OLDEST = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


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


def make_site(server: RunningPostgres, folder: Path) -> Iterator[Site]:
    """Yield an empty database on a server, and drop it; `folder` has the server's programs."""
    name = f"site_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield Site(server.url_of(name, "postgres"), folder)
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
