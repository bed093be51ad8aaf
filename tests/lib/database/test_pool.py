"""The pool of a process: how many connections it makes at once, and when it closes them."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from psycopg import OperationalError
from psycopg_pool import PoolClosed, PoolTimeout

from dev.postgres import RunningPostgres
from lib.database._pool import Connection, Connections, shut
from lib.settings import read_settings
from tests.support.product import forget_process
from tests.support.proxy import Proxy, proxied

MOST = 4


@pytest.fixture
async def proxy_and_url(postgres: RunningPostgres) -> AsyncGenerator[tuple[Proxy, str]]:
    """Return a proxy before the server, and the URL that leads through it."""
    async with proxied(postgres.url) as (proxy, url):
        proxy.delay_seconds = 0
        yield proxy, url


@pytest.fixture
def proxy(proxy_and_url: tuple[Proxy, str]) -> Proxy:
    """Return the proxy, which counts connections."""
    return proxy_and_url[0]


@pytest.fixture
async def connections(
    proxy_and_url: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Connections]:
    """Return the connections of a process that may have MOST of them."""
    environment = {"DATABASE_URL": proxy_and_url[1], "DB_POOL_MAX": str(MOST)}
    monkeypatch.setenv("DATABASE_URL", environment["DATABASE_URL"])
    forget_process()
    made = Connections(read_settings(environment))
    yield made
    await made.close()
    forget_process()


async def take(connections: Connections, seconds: float = 30) -> Connection:
    """Take a connection, at most so many seconds from now."""
    return await connections.take(time.monotonic() + seconds)


async def test_first_requests_at_once_get_connections_that_are_made_at_once(
    connections: Connections, proxy: Proxy
) -> None:
    # No connect ends before all have begun: a pool that makes one at a time never makes a second.
    proxy.delay_seconds = 3600
    taking = [asyncio.create_task(take(connections)) for _ in range(MOST)]

    async with asyncio.timeout(10):
        while proxy.connections < MOST:  # noqa: ASYNC110 (the proxy offers no event)
            await asyncio.sleep(0.01)

    for task in taking:
        task.cancel()


async def test_a_burst_of_requests_makes_no_more_connections_than_the_pool_may_have(
    connections: Connections, proxy: Proxy
) -> None:
    async def use() -> None:
        connection = await take(connections)
        await asyncio.sleep(0.01)
        await connections.give_back(connection)

    await asyncio.gather(*(use() for _ in range(10 * MOST)))

    assert proxy.connections == MOST
    assert connections.metrics() == {"max": MOST, "size": MOST, "idle": MOST, "waiting": 0}


async def test_a_request_that_gets_no_connection_in_time_is_told_so(
    connections: Connections,
) -> None:
    taken = [await take(connections) for _ in range(MOST)]

    with pytest.raises(PoolTimeout):
        await take(connections, seconds=0.05)

    for connection in taken:
        await connections.give_back(connection)
    assert await take(connections) in taken


async def test_a_lost_connection_takes_its_idle_neighbours_with_it(
    connections: Connections, proxy: Proxy
) -> None:
    lost, idle = await take(connections), await take(connections)
    await connections.give_back(idle)
    shut(lost)
    with pytest.raises(OperationalError):
        await lost.execute("SELECT 1")

    await connections.give_back(lost)

    assert idle.closed
    proxy.forget()
    assert (await take(connections)) not in {lost, idle}


async def test_closed_connections_stay_closed(connections: Connections) -> None:
    running, idle = await take(connections), await take(connections)
    await connections.give_back(idle)

    await connections.close()

    assert idle.closed
    assert not running.closed
    await connections.give_back(running)
    assert running.closed
    with pytest.raises(PoolClosed):
        await take(connections)


async def test_connecting_ahead_after_the_end_opens_nothing(
    connections: Connections, proxy: Proxy
) -> None:
    connections.connect_ahead()
    await connections.close()

    with pytest.raises(PoolClosed):
        await take(connections)

    assert proxy.connections == 0
