"""Usage: what the answers of a user have cost, in tokens."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from lib.callers import Caller
from lib.database import Database
from lib.settings import settings
from lib.statements import Statement

USUAL_DAYS = 30
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Usage:
    """The row of sum_usage: one day and one model."""

    model_name: str | None
    day: date
    messages: int
    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return it as clients see it."""
        return asdict(self)


def _written_out(day: object) -> object:
    """Refuse what pydantic would take for a day, too: seconds since 1970, times at midnight."""
    if not isinstance(day, str) or not DAY.fullmatch(day):
        message = "must be a day, as 2026-01-31"
        raise ValueError(message)
    return day


Day = Annotated[date, BeforeValidator(_written_out)]
SUM_USAGE = Statement("sum_usage", Usage)


class UsageQuery(BaseModel, defer_build=True):
    """What the query of GET /api/messages says of usage: days by UTC, both included."""

    usage: Literal["true"] | None = None
    first_day: Day | None = Field(default=None, validation_alias="from")
    last_day: Day | None = Field(default=None, validation_alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> "UsageQuery":
        if self.first_day and self.last_day and self.first_day > self.last_day:
            message = "from must not be after to"
            raise ValueError(message)
        return self


async def sum_usage(database: Database, caller: Caller, query: UsageQuery) -> dict[str, Any]:
    """Return the tokens of a user's answers by day and model, oldest first.

    One round trip: sum_usage. Without `from`, USUAL_DAYS days; without `to`, up to today, or that
    one day where it is still to come.

    Raises:
        Problem: see `Database.run_as`.
    """
    today = datetime.now(UTC).date()
    last_day = query.last_day or max(today, query.first_day or today)
    days_before = min(USUAL_DAYS - 1, (last_day - date.min).days)
    first_day = query.first_day or last_day - timedelta(days_before)
    found = await database.run_as(
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
    return {"from": first_day, "to": last_day, "usage": found}
