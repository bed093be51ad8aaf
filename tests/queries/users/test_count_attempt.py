"""count_attempt: attempts to log in, by address and by client; and count_use, which counts."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from lib.database.client import Database
from lib.users.accounts import COUNT_ATTEMPT, Attempt
from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

ALLOWED = Attempt(is_allowed=True, retry_after_seconds=0)
# One use of one subject that stores nothing.
USE = """
    SELECT
        is_allowed, minute_remaining, minute_reset_seconds, day_remaining, day_reset_seconds
    FROM count_use(
        '{somebody}', ARRAY[%s::integer], ARRAY[%s::integer], '{0}', '{0}', 0, %s::timestamptz
    )
"""


async def test_an_attempt_is_counted_for_its_address_and_for_its_client(
    pool: Database, rows: Rows
) -> None:
    assert await _attempt(pool) == ALLOWED

    assert quota_counts(rows) == {"address a": QuotaCount(1, 1), "client c": QuotaCount(1, 1)}


async def test_an_addresss_attempts_are_limited_across_all_clients(
    pool: Database, rows: Rows
) -> None:
    for number in range(3):
        assert await _attempt(pool, client_subject=f"client {number}") == ALLOWED

    refused = await _attempt(pool, now=NOON + timedelta(seconds=20))

    assert refused == Attempt(is_allowed=False, retry_after_seconds=40)
    assert quota_counts(rows)["address a"] == QuotaCount(3, 3)
    assert await _attempt(pool, address_subject="address b") == ALLOWED


async def test_a_clients_attempts_are_limited_across_all_addresses(
    pool: Database, rows: Rows
) -> None:
    for number in range(5):
        assert await _attempt(pool, address_subject=f"address {number}") == ALLOWED

    refused = await _attempt(pool, now=NOON + timedelta(seconds=20))

    assert refused == Attempt(is_allowed=False, retry_after_seconds=40)
    # A refused client's attempts do not count for the address, so they lock no owner out.
    assert quota_counts(rows)["client c"] == QuotaCount(5, 5)
    assert "address a" not in quota_counts(rows)


async def test_attempts_are_allowed_again_after_a_minute_and_after_a_used_up_day(
    pool: Database,
) -> None:
    attempts = [
        await _attempt(pool, now=NOON + timedelta(seconds=seconds))
        for seconds in (0, 1, 2, 3, 60, 61, 62, 120, 86_399, 86_400)
    ]

    assert [attempt.is_allowed for attempt in attempts] == [
        True, True, True, False, True, True, False, False, False, True,
    ]  # fmt: skip
    assert [attempt.retry_after_seconds for attempt in attempts] == [
        0, 0, 0, 57, 0, 0, 86_338, 86_280, 1, 0,
    ]  # fmt: skip


async def test_of_many_attempts_at_once_exactly_the_limit_is_allowed(
    pool: Database, rows: Rows
) -> None:
    attempts = await asyncio.gather(
        *[_attempt(pool, client_subject=f"client {number}") for number in range(40)]
    )

    assert sum(attempt.is_allowed for attempt in attempts) == 3
    assert quota_counts(rows)["address a"] == QuotaCount(3, 3)


@pytest.mark.parametrize("switched_off", ["nestloop", "hashjoin", "mergejoin", "material"])
async def test_a_refused_clients_attempt_does_not_count_for_the_address_under_any_plan(
    pool: Database, rows: Rows, switched_off: str
) -> None:
    await _attempt(pool, client_per_minute=1, address_subject="address b")
    await pool.close()
    rows.run(f"ALTER ROLE postgres SET enable_{switched_off} = off")
    try:
        refused = await _attempt(pool, client_per_minute=1)
    finally:
        rows.run(f"ALTER ROLE postgres RESET enable_{switched_off}")

    assert not refused.is_allowed
    assert quota_counts(rows).keys() == {"address b", "client c"}


@pytest.mark.parametrize(
    ("per_minute", "per_day", "expected"),
    [
        (0, 0, (True, 0, 60, 0, 86_400)),
        (1, 0, (True, 0, 60, 0, 86_400)),
        (0, 1, (True, 0, 60, 0, 86_400)),
        (5, 9, (True, 4, 60, 8, 86_400)),
    ],
)
def test_the_first_attempt_is_always_allowed(
    rows: Rows, per_minute: int, per_day: int, expected: tuple[object, ...]
) -> None:
    assert rows.run(USE, per_minute, per_day, NOON) == [expected]


def test_a_limit_of_zero_allows_any_number_of_attempts(rows: Rows) -> None:
    for number in range(1, 4):
        [(is_allowed, *_)] = rows.run(USE, 0, 0, NOON)
        assert is_allowed
        assert quota_counts(rows) == {"somebody": QuotaCount(number, number)}


def test_an_attempt_at_the_end_of_a_minute_counts_for_the_next_one(rows: Rows) -> None:
    rows.run(USE, 1, 0, NOON)

    [(just_before, *_)] = rows.run(USE, 1, 0, NOON + timedelta(seconds=59.999999))
    [(at_its_end, *_)] = rows.run(USE, 1, 0, NOON + timedelta(seconds=60))

    assert (just_before, at_its_end) == (False, True)


def test_a_limit_lowered_below_the_count_leaves_zero_attempts(
    rows: Rows,
) -> None:
    for _ in range(3):
        rows.run(USE, 5, 5, NOON)

    assert rows.run(USE, 2, 1, NOON) == [(False, 0, 60, 0, 86_400)]
    assert quota_counts(rows) == {"somebody": QuotaCount(3, 3)}


def test_when_the_day_refuses_a_minute_that_is_over_counts_as_unused(rows: Rows) -> None:
    rows.run(USE, 1, 1, NOON)

    assert rows.run(USE, 1, 1, NOON + timedelta(hours=1)) == [(False, 1, 0, 0, 82_800)]


def test_when_the_minute_refuses_a_day_that_is_over_counts_as_unused(rows: Rows) -> None:
    rows.run(USE, 1, 5, NOON)
    rows.run(USE, 1, 5, NOON + timedelta(seconds=86_370))

    refused = rows.run(USE, 1, 5, NOON + timedelta(seconds=86_400))

    assert refused == [(False, 0, 30, 5, 0)]


async def _attempt(pool: Database, *, now: datetime = NOON, **parameters: Any) -> Attempt:
    defaults: dict[str, object] = {
        "address_subject": "address a",
        "address_per_minute": 3,
        "address_per_day": 5,
        "client_subject": "client c",
        "client_per_minute": 5,
        "client_per_day": 50,
        "now": now,
    }
    [attempt] = await pool.run(COUNT_ATTEMPT(**defaults | parameters))
    return attempt
