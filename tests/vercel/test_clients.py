"""Who is one client of a function in Vercel's real runtime: what the platform says it is."""

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import psycopg
import pytest

from tests.support.runtime import RunningFunction, invocation_headers, start_function

ONE = pytest.mark.environment(MESSAGES_PER_MINUTE="1", MESSAGES_PER_DAY="0")


@pytest.fixture
async def function(environment: dict[str, str]) -> AsyncGenerator[RunningFunction]:
    """Return the chat function in the real runtime."""
    running = await asyncio.to_thread(start_function, "api/chat.py", environment)
    yield running
    await asyncio.to_thread(running.stop)


@ONE
async def test_two_addresses_that_the_platform_forwards_are_two_clients(
    function: RunningFunction, database: psycopg.Connection
) -> None:
    statuses = [
        await _say_from(function, address)
        for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7", "2001:db8::1", "2001:db8::2")
    ]

    assert statuses == [200, 200, 429, 200, 429]
    counts = "SELECT minute_count FROM quotas WHERE subject LIKE 'client %'"
    assert database.execute(counts).fetchall() == [(1,)] * 3


@ONE
async def test_without_an_address_from_the_platform_there_is_one_client(
    function: RunningFunction,
) -> None:
    assert [await _say_from(function, None) for _ in range(2)] == [200, 429]


async def _say_from(function: RunningFunction, address: str | None) -> int:
    forwarded = {"x-forwarded-for": address, "x-real-ip": address} if address else {}
    async with httpx2.AsyncClient(timeout=120) as client:
        response = await client.post(
            f"{function.base_url}/api/chat",
            json={"message": "Hello!"},
            headers=invocation_headers(120) | forwarded,
        )
    return response.status_code
