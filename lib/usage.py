"""Usage: what the answers of a user have cost, in tokens."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from lib.callers import Caller
from lib.database import Database
from lib.settings import settings
from lib.statements import Statement

USUAL_DAYS = 30


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


SUM_USAGE = Statement("sum_usage", Usage)


class UsageQuery(BaseModel, defer_build=True):
    """The query of GET /api/messages?usage=true: days by UTC, both included."""

    usage: Literal["true"]
    first_day: date | None = Field(default=None, validation_alias="from")
    last_day: date | None = Field(default=None, validation_alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> "UsageQuery":
        if self.first_day and self.last_day and self.first_day > self.last_day:
            message = "from must not be after to"
            raise ValueError(message)
        return self


async def sum_usage(database: Database, caller: Caller, query: UsageQuery) -> dict[str, Any]:
    """Return the tokens of a user's answers by day and model, oldest first.

    One round trip: sum_usage. Without `from`, the last USUAL_DAYS days.

    Raises:
        Problem: see `Database.run_as`.
    """
    last_day = query.last_day or datetime.now(UTC).date()
    first_day = query.first_day or max(last_day, date.min + timedelta(USUAL_DAYS)) - timedelta(
        USUAL_DAYS - 1
    )
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
