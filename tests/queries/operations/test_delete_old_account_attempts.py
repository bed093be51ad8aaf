"""delete_old_account_attempts and delete_old_known_networks."""

from datetime import datetime, timedelta

import pytest

from lib.database.client import Database
from lib.operations.clean_up import DELETE_OLD_ACCOUNT_ATTEMPTS, DELETE_OLD_KNOWN_NETWORKS
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

SUBJECTS = "SELECT subject FROM account_attempts UNION ALL SELECT subject FROM known_networks"
DAYS_KEPT = {"attempts": 1, "networks": 90}


@pytest.fixture(autouse=True)
def _user(rows: Rows) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")


@pytest.mark.parametrize("kind", DAYS_KEPT)
async def test_rows_whose_time_is_over_go_a_batch_at_a_time(
    pool: Database, rows: Rows, kind: str
) -> None:
    for number in range(5):
        _store(rows, kind, f"old {number}", days_ago=DAYS_KEPT[kind] + 1)
    _store(rows, kind, "new", days_ago=DAYS_KEPT[kind] - 0.5)

    sizes = [await _delete(pool, kind, batch_size=3) for _ in range(3)]

    assert sizes == [3, 2, 0]
    assert rows.run(SUBJECTS) == [("new",)]


@pytest.mark.parametrize("kind", DAYS_KEPT)
async def test_a_row_goes_only_after_the_end_of_its_time(
    pool: Database, rows: Rows, kind: str
) -> None:
    _store(rows, kind, "ends now", days_ago=DAYS_KEPT[kind])
    assert await _delete(pool, kind) == 0

    _store(rows, kind, "has ended", days_ago=DAYS_KEPT[kind] + 0.0001)
    assert await _delete(pool, kind) == 1
    assert rows.run(SUBJECTS) == [("ends now",)]


@pytest.mark.parametrize("kind", DAYS_KEPT)
async def test_the_next_batch_begins_where_the_one_before_ended(
    pool: Database, rows: Rows, kind: str
) -> None:
    for days in (5, 4, 3):
        _store(rows, kind, f"{days} days", days_ago=DAYS_KEPT[kind] + days)
    since = NOON - timedelta(days=4 if kind == "attempts" else 94)

    assert await _delete(pool, kind, since=since) == 2
    assert rows.run(SUBJECTS) == [("5 days",)]


@pytest.mark.parametrize("kind", DAYS_KEPT)
async def test_a_row_that_is_just_being_used_is_left_alone(
    pool: Database, rows: Rows, kind: str
) -> None:
    _store(rows, kind, "somebody", days_ago=DAYS_KEPT[kind] + 1)
    table = "account_attempts" if kind == "attempts" else "known_networks"
    async with rows.uncommitted(f"UPDATE {table} SET subject = subject"):
        assert await _delete(pool, kind) == 0

    assert rows.run(SUBJECTS) == [("somebody",)]


def _store(rows: Rows, kind: str, subject: str, *, days_ago: float) -> None:
    at = NOON - timedelta(days=days_ago)
    if kind == "networks":
        rows.run("INSERT INTO known_networks VALUES (%s, 'ada', %s)", subject, at)
        return
    ends_at = at + timedelta(days=1)
    rows.run(
        """
        INSERT INTO account_attempts (subject, attempt_count, attempted_at, ends_at)
        VALUES (%s, 1, %s, %s)
        """,
        subject,
        at,
        ends_at,
    )


async def _delete(
    pool: Database, kind: str, *, batch_size: int = 100, since: datetime | None = None
) -> int:
    batch = {"batch_size": batch_size, "since": since, "now": NOON}
    if kind == "networks":
        return len(await pool.run(DELETE_OLD_KNOWN_NETWORKS(**batch, known_days=90)))
    return len(await pool.run(DELETE_OLD_ACCOUNT_ATTEMPTS(**batch)))
