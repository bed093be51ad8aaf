"""Usage: the tokens that a user's requests to the model have cost, by day and model."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.queries import Reader, one_of, parameter, query_string
from lib.identity.callers import Caller
from lib.settings import settings

DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one day by one model.

    Attributes:
        model_name: as the provider names it; None: it does not, or the tokens are those of requests
            beside the stored answers: titles, analyses, and attempts without an answer.
        day: by UTC.
        messages: the stored answers.
        prompt_tokens: tokens that the model has read.
        completion_tokens: tokens that it has written.
    """

    model_name: str | None
    day: date
    messages: int
    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as clients see it."""
        return asdict(self)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # fromisoformat reads other spellings too, such as 2026-W05-6.
    if day is None or day.isoformat() != text:
        raise ValueError("must be a day, as 2026-01-31")
    return day


DAY = Reader(_day, type="string", format="date")
SUM_USAGE = Statement("conversations/sum_usage", Usage)


@query_string
class UsageQuery:
    """The query of GET /api/messages about usage.

    Attributes:
        usage: the tokens, by day and model.
        first_day: the first day, by UTC; without it, 30 days.
        last_day: the last day, by UTC, included; without it, today.
    """

    usage: Literal["true"] | None = parameter(one_of("true"), default=None)
    first_day: date | None = parameter(DAY, default=None, names=("from",))
    last_day: date | None = parameter(DAY, default=None, names=("to",))

    def __post_init__(self) -> None:
        """Check that the days are in order."""
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise ValueError("from must not be after to")


async def sum_usage(database: Database, caller: Caller, query: UsageQuery) -> dict[str, Any]:
    """Return the tokens that a user has cost by day and model, oldest first.

    One round trip: sum_usage. Without `from`, DEFAULT_DAYS days; without `to`, up to today, or the
    day of `from` alone where that is in the future.

    Raises:
        Problem: see `Database.run_as`.
    """
    today = datetime.now(UTC).date()
    last_day = query.last_day or max(today, query.first_day or today)
    days_before = min(DEFAULT_DAYS - 1, (last_day - date.min).days)
    first_day = query.first_day or last_day - timedelta(days_before)
    usage = await database.run_as(
        caller,
        None,
        SUM_USAGE(
            user_id=caller.user_id,
            first_day=first_day,
            last_day=last_day,
            retention_days=settings().retention_days,
            now=None,
        ),
    )
    return {"from": first_day, "to": last_day, "usage": usage}
