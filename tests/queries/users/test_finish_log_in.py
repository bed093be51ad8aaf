"""finish_log_in: a right password costs nothing, and its network is known from then on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from lib.database.client import Database
from lib.database.statements import Call
from lib.problems import DatabaseNotMigrated
from lib.users.accounts import FINISH_LOG_IN, TokenTime
from lib.users.attempts import COUNT_ACCOUNT_ATTEMPT, CountedAttempt
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, act_as

COUNTS = "SELECT subject, attempt_count, next_attempt_at FROM account_attempts ORDER BY subject"
NETWORKS = "SELECT subject, user_id, used_at FROM known_networks ORDER BY used_at, subject"


@pytest.fixture(autouse=True)
def _account(rows: Rows) -> None:
    rows.run("INSERT INTO users (id, hashed_password) VALUES ('ada', 'hash'), ('eve', 'hash')")


async def test_a_log_in_that_succeeds_is_taken_off_again_and_clears_its_pair(
    pool: Database, rows: Rows
) -> None:
    for _ in range(3):
        await _count(pool)

    issued_at = await _finish(pool)

    assert issued_at is not None
    assert abs(issued_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert rows.run(COUNTS) == [("address", 2, None), ("client", 2, None)]


async def test_the_next_attempt_waits_no_longer_than_before_the_log_in_that_succeeded(
    pool: Database, rows: Rows
) -> None:
    for number in range(4):
        await _count(pool, pair=f"pair {number}")
    assert rows.run(COUNTS)[1] == ("client", 4, NOON + timedelta(seconds=1))
    later = NOON + timedelta(seconds=1)
    assert (await _count(pool, now=later)).retry_after_seconds == 0

    await _finish(pool, counted_at=later)

    assert rows.run(COUNTS)[:2] == [("address", 4, None), ("client", 4, None)]
    assert (await _count(pool, now=later)).retry_after_seconds == 0


async def test_a_failure_after_the_log_in_that_succeeds_keeps_its_wait(
    pool: Database, rows: Rows
) -> None:
    for number in range(4):
        await _count(pool, pair=f"pair {number}", now=NOON + timedelta(seconds=number))

    await _finish(pool, counted_at=NOON)

    assert rows.run(COUNTS)[1] == ("client", 3, NOON + timedelta(seconds=4))


async def test_the_network_is_known_after_that_and_its_latest_use(
    pool: Database, rows: Rows
) -> None:
    await _finish(pool, counted_at=NOON + timedelta(days=1))
    await _finish(pool, counted_at=NOON)

    assert rows.run(NETWORKS) == [("pair", "ada", NOON + timedelta(days=1))]


async def test_an_account_keeps_the_networks_that_it_used_last(pool: Database, rows: Rows) -> None:
    await _finish(pool, "eve", pair="of eve", counted_at=NOON - timedelta(days=9))
    for number in range(6):
        await _finish(pool, pair=f"{number}", counted_at=NOON + timedelta(hours=number))

    subjects = [subject for subject, *_ in rows.run(NETWORKS)]

    assert subjects == ["of eve", "3", "4", "5"]


@pytest.mark.parametrize(("account_id", "hash_"), [("ada", "another"), ("bob", "hash")])
async def test_an_account_that_was_changed_or_deleted_meanwhile_gets_no_token(
    pool: Database, rows: Rows, account_id: str, hash_: str
) -> None:
    await _count(pool)

    assert await _finish(pool, account_id, hash_) is None

    assert [count for _, count, _ in rows.run(COUNTS)] == [1, 1, 1]
    assert rows.run(NETWORKS) == []


async def test_a_log_in_waits_for_a_change_of_password_and_then_gets_no_token(
    pool: Database, rows: Rows
) -> None:
    changing = "SELECT change_password('ada', 'hash', 'another', 'pair')"
    async with rows.uncommitted(changing):
        logging_in = asyncio.create_task(_finish(pool))
        await rows.until_waiting(1)

    assert await logging_in is None


async def test_a_token_is_never_issued_before_the_time_from_which_tokens_are_valid(
    pool: Database, rows: Rows
) -> None:
    # As if the clock had been set back since.
    ahead = datetime.now(UTC) + timedelta(hours=1)
    rows.run("UPDATE users SET tokens_valid_from = %s", ahead)

    assert await _finish(pool) == ahead


async def test_deleting_a_user_deletes_the_users_known_networks(pool: Database, rows: Rows) -> None:
    await _finish(pool)

    rows.run("DELETE FROM users")

    assert rows.run(NETWORKS) == []


async def test_a_caller_within_the_wall_may_not_finish_log_ins(pool: Database) -> None:
    with pytest.raises(DatabaseNotMigrated):
        await pool.run(act_as("ada"), _call())


async def _count(pool: Database, *, pair: str = "pair", now: datetime = NOON) -> CountedAttempt:
    [counted] = await pool.run(
        COUNT_ACCOUNT_ATTEMPT(
            subjects=[pair, "client", "address"],
            free_counts=[9, 4, 9],
            first_delays=[1, 1, 1],
            longest_delays=[8, 8, 8],
            known_days=90,
            now=now,
        )
    )
    return counted


async def _finish(
    pool: Database,
    account_id: str = "ada",
    hash_: str = "hash",
    *,
    pair: str = "pair",
    counted_at: datetime = NOON,
) -> datetime | None:
    [finished] = await pool.run(_call(account_id, hash_, pair, counted_at))
    return finished.issued_at


def _call(
    account_id: str = "ada",
    hash_: str = "hash",
    pair: str = "pair",
    counted_at: datetime = NOON,
    new_hash: str | None = None,
) -> Call[TokenTime]:
    return FINISH_LOG_IN(
        account_id=account_id,
        checked_hash=hash_,
        new_hash=new_hash,
        subjects=[pair, "client", "address"],
        counted_at=counted_at,
        networks_kept=3,
    )


async def test_a_log_in_may_store_another_hash_of_the_password_which_ends_no_token(
    pool: Database, rows: Rows
) -> None:
    [finished] = await pool.run(_call(new_hash="hash of the same"))
    [late] = await pool.run(_call(new_hash="another"))

    assert finished.issued_at is not None
    assert late.issued_at is None
    stored = "SELECT hashed_password, tokens_valid_from FROM users WHERE id = 'ada'"
    assert rows.run(stored) == [("hash of the same", None)]
