"""count_account_attempt: attempts to log in and to register wait longer and longer."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from lib.database.client import Database
from lib.database.statements import Call
from lib.problems import DatabaseNotMigrated
from lib.users.attempts import COUNT_ACCOUNT_ATTEMPT, CountedAttempt
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, act_as

COUNTS = "SELECT subject, attempt_count FROM account_attempts ORDER BY subject"


async def test_an_attempt_counts_for_each_of_its_subjects(pool: Database, rows: Rows) -> None:
    assert await _waits(pool) == 0

    assert rows.run(COUNTS) == [("address", 1), ("client", 1), ("pair", 1)]


async def test_the_wait_doubles_with_each_attempt_after_the_free_ones_up_to_its_limit(
    pool: Database,
) -> None:
    waits, now = list[float](), NOON
    while len(waits) < 8:
        wait = await _waits(pool, now=now)
        if wait:
            waits.append(wait)
            now += timedelta(seconds=wait)

    assert waits == [1, 2, 4, 8, 8, 8, 8, 8]


async def test_an_attempt_that_has_to_wait_counts_for_nothing_and_makes_no_wait_longer(
    pool: Database, rows: Rows
) -> None:
    for _ in range(3):
        await _waits(pool)
    before = rows.run("SELECT * FROM account_attempts ORDER BY subject")

    waits = [await _waits(pool, now=NOON + timedelta(seconds=0.25)) for _ in range(5)]

    assert waits == [0.75] * 5
    assert rows.run("SELECT * FROM account_attempts ORDER BY subject") == before
    assert await _waits(pool, now=NOON + timedelta(seconds=1)) == 0


@pytest.mark.parametrize("waiting", ["pair", "client", "address"])
async def test_any_subject_that_has_to_wait_refuses_the_attempt(
    pool: Database, rows: Rows, waiting: str
) -> None:
    free = {"pair": 9, "client": 9, "address": 9} | {waiting: 1}
    assert await _waits(pool, free=[*free.values()]) == 0

    assert await _waits(pool, free=[*free.values()]) == 1

    assert {count for _, count in rows.run(COUNTS)} == {1}


async def test_a_day_after_the_first_attempt_the_count_begins_again(
    pool: Database, rows: Rows
) -> None:
    for _ in range(3):
        await _waits(pool, first=[86_400] * 3, longest=[86_400] * 3)
    late = NOON + timedelta(days=1)

    # No wait is longer than the day.
    assert await _waits(pool, now=late - timedelta(seconds=1)) == 1
    assert await _waits(pool, now=late) == 0

    assert {count for _, count in rows.run(COUNTS)} == {1}


async def test_a_known_network_has_its_own_counter_only(pool: Database, rows: Rows) -> None:
    _know(rows, NOON - timedelta(days=89))
    for number in range(30):
        await _waits(pool, subjects=[f"pair {number}", f"client {number}", "address"])
    assert await _waits(pool, subjects=["new pair", "new client", "address"]) > 0

    counted = await _count(pool)

    assert counted == CountedAttempt(is_known=True, retry_after_seconds=0, counted_at=NOON)
    assert ("pair", 1) in rows.run(COUNTS)
    assert ("client", 1) not in rows.run(COUNTS)
    for _ in range(2):
        assert await _waits(pool) == 0
    assert await _waits(pool) == 1


async def test_a_network_that_was_not_used_for_long_is_like_any_other(
    pool: Database, rows: Rows
) -> None:
    _know(rows, NOON - timedelta(days=90))

    assert not (await _count(pool)).is_known

    assert rows.run(COUNTS) == [("address", 1), ("client", 1), ("pair", 1)]


async def test_of_many_attempts_of_a_network_at_once_the_free_ones_are_allowed_and_counted(
    pool: Database, rows: Rows
) -> None:
    waits = await asyncio.gather(*[_waits(pool) for _ in range(40)])

    assert sorted(waits) == [0] * 3 + [1] * 37
    # No attempt that was refused for its network costs the address anything.
    assert rows.run(COUNTS) == [("address", 3), ("client", 3), ("pair", 3)]


async def test_of_many_attempts_from_many_networks_at_once_the_address_allows_the_free_ones(
    pool: Database, rows: Rows
) -> None:
    waits = await asyncio.gather(
        *[_waits(pool, subjects=[f"pair {n}", f"client {n}", "address"]) for n in range(40)]
    )

    assert sum(wait == 0 for wait in waits) == 3
    assert ("address", 3) in rows.run(COUNTS)


async def test_two_attempts_at_once_of_which_one_began_earlier_both_count(
    pool: Database, rows: Rows
) -> None:
    assert await _waits(pool, now=NOON) == 0
    assert await _waits(pool, now=NOON - timedelta(seconds=0.1)) == 0

    assert rows.run(COUNTS) == [("address", 2), ("client", 2), ("pair", 2)]


async def test_a_caller_within_the_wall_may_not_count_attempts(pool: Database) -> None:
    with pytest.raises(DatabaseNotMigrated):
        await pool.run(act_as("ada"), _call())


def _know(rows: Rows, used_at: datetime) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")
    rows.run("INSERT INTO known_networks VALUES ('pair', 'ada', %s)", used_at)


async def _waits(pool: Database, **given: Any) -> float:
    return (await _count(pool, **given)).retry_after_seconds


async def _count(pool: Database, **given: Any) -> CountedAttempt:
    [counted] = await pool.run(_call(**given))
    return counted


def _call(
    *,
    subjects: list[str] | None = None,
    free: list[int] | None = None,
    first: list[int] | None = None,
    longest: list[int] | None = None,
    now: datetime = NOON,
) -> Call[CountedAttempt]:
    return COUNT_ACCOUNT_ATTEMPT(
        subjects=subjects or ["pair", "client", "address"],
        free_counts=free or [3, 3, 3],
        first_delays=first or [1, 1, 1],
        longest_delays=longest or [8, 8, 8],
        known_days=90,
        now=now,
    )
