"""count_use: uses counted against the limits of a minute and of a day."""

from datetime import timedelta

import pytest

from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

# One use of one subject that stores nothing.
USE = """
    SELECT
        is_allowed, minute_remaining, minute_reset_seconds, day_remaining, day_reset_seconds
    FROM count_use(
        '{somebody}', ARRAY[%s::integer], ARRAY[%s::integer], '{0}', '{0}', 0, %s::timestamptz
    )
"""


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
