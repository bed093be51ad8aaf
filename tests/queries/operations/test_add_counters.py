"""add_counters: what each instance has counted is added up, by day too."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from lib.database.client import Database, database
from lib.operations.counters import SHARDS, adding
from lib.operations.metrics import LIST_COUNTERS, Counter
from tests.support.product import forget_process

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = ("statement_seconds", "api/chat", "begin_turn", 0.01)
LAST = ("statement_seconds", "api/chat", "begin_turn", float("inf"))


@pytest.fixture
async def product(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Database]:
    """Return the database as the product uses it."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    forget_process()
    used = database()
    yield used
    await used.close()
    forget_process()


async def add(
    product: Database,
    count: int,
    total: float,
    at: datetime,
    key: tuple[str, str, str, float] = KEY,
    shard: int | None = None,
) -> None:
    """Add to a counter at some time; to a shard by chance, if none is named."""
    call = adding({key: (count, total)})
    named = {} if shard is None else {"shard": shard}
    await product.run(type(call)(call.statement, call.parameters | {"now": at} | named))


async def listed(product: Database, at: datetime) -> list[Counter]:
    """Return the counters as they are shown at some time."""
    return await product.run(LIST_COUNTERS(now=at))


async def test_what_is_added_adds_up(product: Database) -> None:
    await add(product, 2, 0.5, NOON)
    await add(product, 3, 0.25, NOON)
    await add(product, 1, 20.0, NOON, LAST)

    assert await listed(product, NOON) == [
        Counter(*KEY, 5, 0.75, 5, 0.75),
        Counter(*LAST, 1, 20.0, 1, 20.0),
    ]


async def test_the_counts_of_all_shards_are_one_sum(product: Database) -> None:
    for shard in range(SHARDS):
        await add(product, 2, 0.5, NOON, shard=shard)
    tomorrow = NOON + timedelta(hours=12)
    await add(product, 3, 0.25, tomorrow, shard=7)

    assert await listed(product, NOON) == [
        Counter(*KEY, 2 * SHARDS + 3, 0.5 * SHARDS + 0.25, 2 * (SHARDS - 1), 0.5 * (SHARDS - 1))
    ]
    assert await listed(product, tomorrow) == [
        Counter(*KEY, 2 * SHARDS + 3, 0.5 * SHARDS + 0.25, 3, 0.25)
    ]


async def test_a_call_waits_for_no_other_that_adds_to_another_shard(
    product: Database, database: psycopg.Connection
) -> None:
    first = adding({KEY: (1, 0.5)})
    with database.transaction():
        database.execute(first.statement.sql, first.parameters | {"shard": 0})

        async with asyncio.timeout(30):
            await add(product, 2, 0.5, NOON, shard=1)

    [counter] = await listed(product, NOON)
    assert counter.count == 3


def test_calls_are_spread_over_all_shards() -> None:
    shards = [adding({KEY: (1, 0.5)}).parameters["shard"] for _ in range(1000)]

    assert {*shards} == {*range(SHARDS)}


async def test_a_day_by_utc_begins_anew(product: Database) -> None:
    await add(product, 2, 0.5, NOON)
    tomorrow = NOON + timedelta(hours=12)

    assert await listed(product, tomorrow) == [Counter(*KEY, 2, 0.5, 0, 0.0)]
    await add(product, 1, 0.25, tomorrow)

    assert await listed(product, tomorrow) == [Counter(*KEY, 3, 0.75, 1, 0.25)]


async def test_of_many_who_add_at_once_none_waits_for_ever_and_nothing_is_lost(
    product: Database,
) -> None:
    keys = [("requests", "api/chat", str(number), 1.0) for number in range(50)]

    await asyncio.gather(
        *(
            product.run(adding(dict.fromkeys(keys if n % 2 else reversed(keys), (1, 0.0))))
            for n in range(40)
        )
    )

    assert {each.count for each in await product.run(LIST_COUNTERS(now=None))} == {40}


def test_within_the_wall_there_is_nothing_to_see(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE parley_app")

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM metric_counters")
