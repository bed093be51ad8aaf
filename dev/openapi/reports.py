"""What GET /api/health and GET /api/metrics answer as JSON."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from dev.openapi.answers import Answered, Count, Percentage
from lib.operations.metrics import Backlog, DatabaseStatistics, Index, SlowStatement, Table

# Left out, which is not null: of no answer is it a default.
NOT_ALWAYS = Field(default=None)


class Pool(Answered):
    """The connections of one process to the database."""

    max: Count
    size: Count
    idle: Count
    waiting: Count
    """Requests that wait for one."""


class DatabaseHealth(Answered):
    """The database, as one process sees it."""

    migration: str
    """The newest migration."""
    pool: Pool


class Health(Answered):
    """All is well."""

    status: Literal["ok"]
    version: str
    database: Annotated[DatabaseHealth, NOT_ALWAYS]


class ProcessPool(Pool):
    """The connections of the process that answers, and of no other."""

    in_use: Count


Milliseconds = Annotated[float, Field(ge=0)]


class Times(Answered):
    """How often, and how long; only the number where that is 0."""

    count: Count
    mean_ms: Milliseconds = 0
    p50_ms: Milliseconds = 0
    p95_ms: Milliseconds = 0
    p99_ms: Milliseconds = 0


class StatementTimes(Times):
    """The same of one statement."""

    statement: str
    errors: Count


class TurnFigures(Answered):
    """What became of turns."""

    by_finish_reason: dict[str, Count]
    failures: dict[str, Count]
    tokens: dict[str, Count]
    duration: Times
    first_token: Times
    model_wait: Times


class Counted(Answered):
    """What all instances have counted."""

    requests: dict[str, Times]
    """By function."""
    responses: dict[str, Count]
    """By status."""
    problems: dict[str, Count]
    """By code."""
    turns: TurnFigures
    connection_wait: Times
    statements: list[StatementTimes]


class CountedToday(Counted):
    """What all instances have counted today, by UTC."""

    since: AwareDatetime


@dataclass(frozen=True, slots=True)
class TableFigures(Table):
    """A table of Parley's."""

    cache_hit_rate: Percentage | None


@dataclass(frozen=True, slots=True)
class DatabaseFigures(DatabaseStatistics):
    """The database as a whole."""

    cache_hit_rate: Percentage | None
    backlog: Backlog
    tables: list[TableFigures]
    indexes: list[Index]
    unused_indexes: list[str]
    invalid_indexes: list[str]
    slowest_statements: list[SlowStatement] | str


class Metrics(Answered):
    """All figures; the last three are not there while the database cannot be reached."""

    version: str
    database_up: bool
    pool_of_this_process: ProcessPool
    today: Annotated[CountedToday, NOT_ALWAYS]
    ever: Annotated[Counted, NOT_ALWAYS]
    database: Annotated[DatabaseFigures, NOT_ALWAYS]
