"""What count_use counts, for the tests of statements that call it."""

from typing import NamedTuple

from tests.support.steps.rows import Rows


class Counted(NamedTuple):
    """How often somebody was counted in the running minute and day."""

    minute: int
    day: int


def counted(rows: Rows) -> dict[str, Counted]:
    """Return what is counted, by who is."""
    found = rows.connection.execute(
        "SELECT subject, minute_count, day_count FROM quotas ORDER BY subject"
    ).fetchall()
    return {subject: Counted(minute, day) for subject, minute, day in found}
