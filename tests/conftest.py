"""Fixtures: a real Postgres, a database of its own for each test, a scripted model, the product."""

import asyncio
import functools
import inspect
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest

from dev.postgres import RunningPostgres, programs, start_postgres
from dev.psql import migrate
from lib.settings import settings
from tests.support.databases import Databases, drop_database, make_database
from tests.support.model_server import TITLE_MODEL, ScriptedModel
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.product import CRON_SECRET, JWT_SECRET, ROOT, Parley, running_product
from tests.support.serving import Switchboard, serve

TEMPLATE = "parley_template"
# The files that take longest, which begin first: one that began last would keep one worker busy
# while the others have nothing left to do. Measured with --junitxml; others follow in their order.
LONGEST = (
    "tests/chat/test_embedded_model.py",
    "tests/faults/test_kills.py",
    "tests/hostile/",
    "tests/zoo/test_zoo.py",
    "tests/vercel/",
    "tests/access/test_matrix.py",
    "tests/node/",
    "tests/migrations/",
)
# Before the limit of pytest-timeout, which ends the whole worker process.
GRACE_SECONDS = 60
_numbers = itertools.count(1)
# How long an example takes depends on the machine, and so would the test.
hypothesis.settings.register_profile(
    "parley", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("parley")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT).as_posix()
        return next((n for n, long in enumerate(LONGEST) if path.startswith(long)), len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Cancel an async test in its event loop when its time is over, so that others can go on.

    pytest-timeout alone would end the process, or break the event loop that all tests share.
    """
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        mark = pyfuncitem.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else float(pyfuncitem.config.getini("timeout"))
        pyfuncitem.obj = _limited(pyfuncitem.obj, seconds - GRACE_SECONDS)


def _limited[**P](
    test: Callable[P, Awaitable[None]], seconds: float
) -> Callable[P, Awaitable[None]]:
    @functools.wraps(test)
    async def limited(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(seconds):
            await test(*args, **kwargs)

    return limited


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the functions do."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """Return a Postgres server for the whole run."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = start_postgres(
        folder / "data", tcp=True, durable=False, settings={"max_connections": "300"}
    )
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: RunningPostgres) -> str:
    """Return the name of a migrated database, which others are copied from."""
    make_database(postgres, TEMPLATE)
    migrate(programs() / "psql", postgres.url_of(TEMPLATE, "postgres"), ROOT)
    return TEMPLATE


@pytest.fixture(scope="session")
def databases(postgres: RunningPostgres, template: str) -> Databases:
    """Return the migrated databases that tests are lent."""
    return Databases(postgres, template)


@pytest.fixture(scope="session")
def pgbouncer_port(
    postgres: RunningPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int | None]:
    """Return the port of PgBouncer in transaction mode, or None where it is not installed."""
    if find_pgbouncer() is None:
        yield None
        return
    with running_pgbouncer(postgres.url, tmp_path_factory.mktemp("pgbouncer")) as port:
        yield port


@pytest.fixture
def default_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test without a product use code that reads the settings."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def pooled_database_url(database_url: str, pgbouncer_port: int | None) -> str:
    """Return the test's database as the product sees it on Neon; direct without PgBouncer."""
    return database_url if pgbouncer_port is None else through(database_url, pgbouncer_port)


@pytest.fixture
def empty_database_url(postgres: RunningPostgres) -> Iterator[str]:
    """Return the URL of a database without anything in it."""
    name = f"empty_{next(_numbers)}"
    make_database(postgres, name)
    yield postgres.url_of(name, "postgres")
    drop_database(postgres, name)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Return the URL of a migrated database of the test's own."""
    with databases.lent() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """Return a connection to the test's database, to look into it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
async def model_switchboard() -> AsyncGenerator[Switchboard]:
    """Return the server behind which each test has a model of its own."""
    async with _served(Switchboard()) as switchboard:
        yield switchboard


@pytest.fixture(scope="session")
async def switchboard() -> AsyncGenerator[Switchboard]:
    """Return the server behind which each test has a product of its own."""
    async with _served(Switchboard()) as switchboard:
        yield switchboard


@asynccontextmanager
async def _served(switchboard: Switchboard) -> AsyncGenerator[Switchboard]:
    async with serve(switchboard) as base_url:
        switchboard.base_url = base_url
        yield switchboard


@pytest.fixture
async def model(model_switchboard: Switchboard) -> AsyncGenerator[ScriptedModel]:
    """Return a model that says what the test wants."""
    scripted = ScriptedModel()
    scripted.base_url = f"{model_switchboard.base_url}/v1"
    model_switchboard.app = scripted
    yield scripted
    model_switchboard.app = None


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, pooled_database_url: str, model: ScriptedModel
) -> dict[str, str]:
    """Return the environment that the product runs in; the mark `environment` changes it."""
    usual = {
        "DATABASE_URL": pooled_database_url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_MODEL": "test-model",
        "OPENAI_TITLE_MODEL": TITLE_MODEL,
        "JWT_SECRET": JWT_SECRET,
        "CRON_SECRET": CRON_SECRET,
        "MESSAGES_PER_MINUTE": "0",
        "MESSAGES_PER_DAY": "0",
        "ANONYMOUS_PER_DAY": "0",
        "TOKENS_PER_DAY": "0",
        "BYTES_PER_DAY": "0",
        "SUMMARIES": "off",
        "ALLOWED_ORIGIN": "https://example.app,https://*.preview.example.app",
    }
    mark: pytest.Mark | None = request.node.get_closest_marker("environment")
    chosen: dict[str, str | None] = usual | dict(mark.kwargs if mark else {})
    return {name: value for name, value in chosen.items() if value is not None}


@pytest.fixture
async def parley(
    switchboard: Switchboard, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Parley]:
    """Return the running product, with a database and a model of the test's own."""
    async with running_product(switchboard, monkeypatch, environment) as running:
        yield running
