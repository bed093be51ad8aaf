"""delete_old_deleted_users."""

from datetime import datetime, timedelta

from lib.database.client import Database
from lib.operations.clean_up import DELETE_OLD_DELETED_USERS
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

IDS = "SELECT convert_from(id_hash, 'UTF8') FROM deleted_users ORDER BY 1"


async def test_marks_whose_time_is_over_go_a_batch_at_a_time(pool: Database, rows: Rows) -> None:
    for number in range(5):
        _store(rows, f"old {number}", NOON - timedelta(seconds=1 + number))
    _store(rows, "ends now", NOON)

    sizes = [await _delete(pool, batch_size=3) for _ in range(3)]

    assert sizes == [3, 2, 0]
    assert rows.run(IDS) == [("ends now",)]


async def test_the_next_batch_begins_where_the_one_before_ended(pool: Database, rows: Rows) -> None:
    for days in (3, 2, 1):
        _store(rows, f"{days} days", NOON - timedelta(days=days))

    assert await _delete(pool, since=NOON - timedelta(days=2)) == 2
    assert rows.run(IDS) == [("3 days",)]


async def test_the_mark_of_a_user_who_is_being_deleted_again_is_left_alone(
    pool: Database, rows: Rows
) -> None:
    _store(rows, "ann", NOON - timedelta(days=1))
    async with rows.uncommitted("UPDATE deleted_users SET ends_at = ends_at"):
        assert await _delete(pool) == 0

    assert rows.run(IDS) == [("ann",)]


def _store(rows: Rows, user: str, ends_at: datetime) -> None:
    deleted_at = ends_at - timedelta(days=30)
    rows.run("INSERT INTO deleted_users VALUES (%s, %s, %s)", user.encode(), deleted_at, ends_at)


async def _delete(pool: Database, *, batch_size: int = 100, since: datetime | None = None) -> int:
    call = DELETE_OLD_DELETED_USERS(batch_size=batch_size, since=since, now=NOON)
    return len(await pool.run(call))
