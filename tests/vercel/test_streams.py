"""Many streams at once through one function in Vercel's real runtime."""

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import psycopg
import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import id_of, parts_of, sdk_body, text_of
from tests.support.runtime import RunningFunction, invocation_headers, start_function

STREAMS = 400
POOL_MAX = 10
# How long a busy machine takes is not what is tested here.
PATIENCE_SECONDS = 300


@pytest.fixture
async def function(environment: dict[str, str]) -> AsyncGenerator[RunningFunction]:
    """Return the chat function in the real runtime."""
    environment |= {"DB_POOL_MAX": str(POOL_MAX), "DB_POOL_TIMEOUT": str(PATIENCE_SECONDS)}
    running = await asyncio.to_thread(start_function, "api/chat.py", environment)
    yield running
    await asyncio.to_thread(running.stop)


async def test_of_400_streams_at_once_none_fails_and_none_is_lost(
    function: RunningFunction, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default = Reply(pieces=tuple(f"{number} " for number in range(10)), seconds_between=0.3)
    limits = httpx2.Limits(max_connections=None)
    connections: list[int] = []
    watching = asyncio.create_task(_count_connections(database, connections))

    async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits) as client:
        responses = await asyncio.gather(
            *(_send(client, function, number) for number in range(STREAMS))
        )
    watching.cancel()

    assert {text_of(response) for response in responses} == {"".join(model.default.pieces)}
    assert {parts_of(response)[-1]["type"] for response in responses} == {"finish"}
    stored = database.execute("SELECT count(*) FROM chat_messages WHERE finish_reason = 'stop'")
    assert stored.fetchone() == (STREAMS,)
    assert 1 <= max(connections) <= POOL_MAX


async def _count_connections(database: psycopg.Connection, counted: list[int]) -> None:
    while True:
        row = database.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            # An autovacuum worker is none of the product's.
            "AND backend_type = 'client backend'"
        ).fetchone()
        assert row is not None
        counted.append(row[0])
        await asyncio.sleep(0.05)


async def _send(
    client: httpx2.AsyncClient, function: RunningFunction, number: int
) -> httpx2.Response:
    body = sdk_body("Hello!", chat_id=id_of(number))
    headers = invocation_headers(PATIENCE_SECONDS)
    return await client.post(f"{function.base_url}/api/chat", json=body, headers=headers)
