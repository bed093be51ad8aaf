"""Usage: the tokens of a user's requests to the model and their cost, by day and model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.queries import Reader, one_of, parameter, query_string
from lib.identity.callers import Caller
from lib.prices import Prices
from lib.settings import settings

DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one day by one model: the row of sum_usage.

    Attributes:
        model: its name as users see it; None: of an imported answer, or of requests beside the
            stored answers: titles, analyses, and attempts without an answer.
        model_name: as the provider names it; None: likewise, or it does not.
        messages: the stored answers.
        prompt_tokens: tokens that the model has read.
        cached_tokens: those of them that the provider read from its cache.
        completion_tokens: tokens that it has written.
        reasoning_tokens: those of them with which the model thought.
        day: by UTC.
    """

    model: str | None
    model_name: str | None
    messages: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedUsage(Usage):
    """The tokens of one day by one model, and what they cost.

    Attributes:
        cost: in millionths of the currency of the prices; None: the model has none.
    """

    cost: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as clients see it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """The tokens of all days and models, and what they cost; the counts as in `Usage`.

    Attributes:
        cost: the sum of the rows' costs; None: no row has one.
        unpriced_tokens: tokens read and written that are not in `cost`, because their rows have
            none.
    """

    messages: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: int | None
    unpriced_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the total as clients see it."""
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


def prices() -> Mapping[str, Prices]:
    """Return the prices of the configured models by their names."""
    return {model.name: model.prices for model in settings().all_models if model.prices}


def priced(row: Usage, known: Mapping[str, Prices]) -> PricedUsage:
    """Return a row with its cost, at the prices of its model."""
    of_model = known.get(row.model) if row.model is not None else None
    cost = None
    if of_model is not None:
        cost = of_model.cost(row.prompt_tokens, row.cached_tokens, row.completion_tokens)
    return PricedUsage(**asdict(row), cost=cost)


def total_of(rows: Sequence[PricedUsage]) -> UsageTotal:
    """Return the sum of rows."""
    costs = [row.cost for row in rows if row.cost is not None]
    return UsageTotal(
        messages=sum(row.messages for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        reasoning_tokens=sum(row.reasoning_tokens for row in rows),
        cost=sum(costs) if costs else None,
        unpriced_tokens=sum(
            row.prompt_tokens + row.completion_tokens for row in rows if row.cost is None
        ),
    )


async def sum_usage(database: Database, caller: Caller, query: UsageQuery) -> dict[str, Any]:
    """Return the tokens that a user has cost by day and model, oldest first, and their total.

    One round trip: sum_usage. Without `from`, DEFAULT_DAYS days; without `to`, up to today, or the
    day of `from` alone where that is in the future.

    Raises:
        Problem: see `Database.run_as`.
    """
    today = datetime.now(UTC).date()
    last_day = query.last_day or max(today, query.first_day or today)
    days_before = min(DEFAULT_DAYS - 1, (last_day - date.min).days)
    first_day = query.first_day or last_day - timedelta(days_before)
    rows = await database.run_as(
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
    known = prices()
    usage = [priced(row, known) for row in rows]
    return {"from": first_day, "to": last_day, "usage": usage, "total": total_of(usage)}
