"""delete_old_quotas."""

from datetime import datetime, timedelta

from lib.database.client import Database
from lib.operations.clean_up import DELETE_OLD_QUOTAS
from tests.support.steps.quotas import quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

USE = """
    SELECT count_use(
        ARRAY[%(subject)s::text], '{1}', '{1}', '{0}', '{0}', 0, %(now)s::timestamptz
    )
"""


async def test_counters_whose_day_is_over_go_a_batch_at_a_time(pool: Database, rows: Rows) -> None:
    for number in range(5):
        _count(rows, f"old {number}", days_ago=2)
    _count(rows, "new", days_ago=0.5)

    sizes = [await _delete(pool, batch_size=3) for _ in range(3)]

    assert sizes == [3, 2, 0]
    assert quota_counts(rows).keys() == {"new"}


async def test_a_counter_goes_only_after_the_end_of_its_day(pool: Database, rows: Rows) -> None:
    _count(rows, "somebody", days_ago=1)
    assert await _delete(pool) == 0

    _count(rows, "another", days_ago=1.0001)
    assert await _delete(pool) == 1
    assert quota_counts(rows).keys() == {"somebody"}


async def test_the_next_batch_begins_where_the_one_before_ended(pool: Database, rows: Rows) -> None:
    for days in (5, 4, 3):
        _count(rows, f"{days} days ago", days_ago=days)

    assert await _delete(pool, since=NOON - timedelta(days=3)) == 2
    assert quota_counts(rows).keys() == {"5 days ago"}


async def test_a_counter_that_is_just_being_used_is_left_alone(pool: Database, rows: Rows) -> None:
    _count(rows, "somebody", days_ago=2)
    async with rows.uncommitted(USE, {"subject": "somebody", "now": NOON}):
        assert await _delete(pool) == 0

    assert quota_counts(rows).keys() == {"somebody"}


def _count(rows: Rows, subject: str, *, days_ago: float) -> None:
    counted_at = NOON - timedelta(days=days_ago)
    rows.connection.execute(USE, {"subject": subject, "now": counted_at})


async def _delete(pool: Database, *, batch_size: int = 100, since: datetime | None = None) -> int:
    call = DELETE_OLD_QUOTAS(batch_size=batch_size, since=since, now=NOON)
    return len(await pool.run(call))
