"""GET /api/cron/cleanup: more than fits into a batch, or into its time; others at the same time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import lib.operations.clean_up
from lib.operations.clean_up import BATCH_MS, LARGEST_BATCH, SMALLEST_BATCH, Pace
from tests.api.test_cron_cleanup import CRON, PATH
from tests.support.product import Parley

# They overlap in time, as conversations do.
FILL = """
    INSERT INTO conversations (id, updated_at)
    SELECT md5(n::text)::uuid, now() - make_interval(days => 31, mins => n)
    FROM generate_series(1, %(conversations)s) AS n;
    INSERT INTO chat_messages (conversation_id, role, content, created_at)
    SELECT md5(n::text)::uuid, 'user', 'Hello!', now() - make_interval(days => 40, secs => n + m)
    FROM generate_series(1, %(conversations)s) AS n, generate_series(1, 10) AS m;
"""

HOLD = "SELECT FROM chat_messages WHERE conversation_id = md5('7')::uuid FOR UPDATE"


def fill(database: psycopg.Connection, conversations: int) -> None:
    """Store conversations of ten messages each, all of which have expired."""
    psycopg.ClientCursor(database).execute(FILL.encode(), {"conversations": conversations})


def left(database: psycopg.Connection) -> tuple[int, int]:
    """Return how many messages and conversations are stored."""
    counted = """
        SELECT
            (SELECT count(*)::integer FROM chat_messages),
            (SELECT count(*)::integer FROM conversations)
    """
    [row] = database.execute(counted).fetchall()
    return row


async def clean_up(parley: Parley) -> dict[str, Any]:
    """Call the cron and return its report."""
    response = await parley.client.get(PATH, headers=CRON)
    assert response.status_code == 200, response.text
    return response.json()


def ends_after(checks: int) -> Callable[[], bool]:
    """Return a clock by which the function's time is over after so many looks at it."""
    looks = iter(range(checks))
    return lambda: next(looks, None) is not None


async def test_the_clean_up_deletes_expired_messages_in_many_batches(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, 300)

    report = await clean_up(parley)

    assert report["deleted"] == 3000
    assert report["conversations_deleted"] == 300
    assert report["batches"] >= 4
    assert report["remaining"] is False
    assert left(database) == (0, 0)


async def test_a_clean_up_out_of_time_leaves_messages_to_the_next(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 300)

    with monkeypatch.context() as patched:
        # One look each is that of counters, attempts, networks, deleted users, streams and unused
        # files.
        patched.setattr(lib.operations.clean_up, "has_time", ends_after(8))
        first = await clean_up(parley)
    assert first["batches"] == 2
    assert 200 < first["deleted"] < 3000
    assert first["conversations_deleted"] == 0
    assert first["remaining"] is True
    assert left(database) == (3000 - first["deleted"], 300)

    rest = await clean_up(parley)
    assert first["deleted"] + rest["deleted"] == 3000
    assert rest["conversations_deleted"] == 300
    assert rest["remaining"] is False


async def test_two_clean_ups_at_once_share_the_work(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, 1000)

    reports = await asyncio.gather(clean_up(parley), clean_up(parley))

    assert sum(report["deleted"] for report in reports) == 10_000
    assert sum(report["conversations_deleted"] for report in reports) == 1000
    assert all(report["batches"] > 5 for report in reports)
    # `remaining` may be true for either: it met rows that the other was deleting.
    assert left(database) == (0, 0)


async def test_the_clean_up_skips_messages_that_a_turn_holds(
    parley: Parley, database: psycopg.Connection, database_url: str
) -> None:
    fill(database, 100)

    async with await psycopg.AsyncConnection.connect(database_url) as turn:
        await turn.execute(HOLD)
        started = time.monotonic()
        report = await clean_up(parley)

    assert time.monotonic() - started < 5
    assert (report["deleted"], report["conversations_deleted"]) == (990, 99)
    assert report["remaining"] is True
    assert (await clean_up(parley))["deleted"] == 10


async def test_messages_that_a_turn_held_for_a_moment_are_deleted_in_the_end(
    parley: Parley,
    database: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(database, 300)
    turn = psycopg.connect(database_url)
    turn.execute("SELECT FROM chat_messages ORDER BY created_at LIMIT 7 FOR UPDATE")

    def has_time() -> bool:
        # After the first batches, which began with the rows that are held.
        if left(database)[0] < 2000:
            turn.close()
        return True

    monkeypatch.setattr(lib.operations.clean_up, "has_time", has_time)
    report = await clean_up(parley)

    assert report["deleted"] == 3000
    assert report["remaining"] is False


async def test_the_clean_up_tries_a_table_that_is_just_altered_again(
    parley: Parley, database: psycopg.Connection, database_url: str
) -> None:
    fill(database, 20)

    altering = await psycopg.AsyncConnection.connect(database_url)
    await altering.execute("LOCK TABLE tool_runs, conversations IN SHARE MODE")
    cleaning = asyncio.create_task(clean_up(parley))
    await asyncio.sleep(0.3)
    assert not cleaning.done()
    assert left(database)[1] == 20
    await altering.close()
    report = await cleaning

    assert (report["deleted"], report["conversations_deleted"]) == (200, 20)
    assert report["remaining"] is False


def test_the_size_of_a_batch_follows_the_time_of_the_one_before() -> None:
    pace = Pace(200)

    pace.learn(200, duration_ms=BATCH_MS / 100)
    assert pace.size == 400  # at most twice as much at once
    pace.learn(400, duration_ms=2 * BATCH_MS)
    assert pace.size == 200
    for _ in range(10):
        pace.learn(pace.size, duration_ms=0.01)
    assert pace.size == LARGEST_BATCH
    pace.learn(1000, duration_ms=60_000)
    assert pace.size == SMALLEST_BATCH
    pace.learn(0, duration_ms=0)
    assert pace.size == SMALLEST_BATCH
