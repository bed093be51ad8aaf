"""The counters of count_use, for tests of the statements that call it."""

from typing import NamedTuple

from tests.support.steps.rows import Rows


class QuotaCount(NamedTuple):
    """A subject's count in the running minute and in the running day."""

    minute: int
    day: int


def quota_counts(rows: Rows) -> dict[str, QuotaCount]:
    """Return the stored counts by subject."""
    counts = rows.connection.execute(
        "SELECT subject, minute_count, day_count FROM quotas ORDER BY subject"
    ).fetchall()
    return {subject: QuotaCount(minute, day) for subject, minute, day in counts}
