"""Reads the metrics: the counts of all instances, the pool of this process, and the database."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lib.database.client import Database
from lib.database.statements import Statement
from lib.http.queries import one_of, parameter, query_string
from lib.operations.counters import adding, storing
from lib.problems import DatabaseTooSlow, DatabaseUnavailable
from lib.runtime.counting import counters

MOST_SLOW_STATEMENTS = 20


@dataclass(frozen=True, slots=True)
class Counter:
    """A row of list_counters: one cell of a metric, from all instances; `day_…` of today by UTC."""

    metric: str
    function: str
    label: str
    bound: float
    count: int
    total: float
    day_count: int
    day_total: float


@dataclass(frozen=True, slots=True)
class Table:
    """A row of list_tables: one of Parley's tables; numbers of rows are estimates."""

    row_count: int
    dead_row_count: int
    sequential_scans: int
    name: str
    table_bytes: int
    index_bytes: int
    index_scans: int
    blocks_hit: int
    blocks_read: int
    vacuumed_at: datetime | None
    analyzed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Index:
    """An index of Parley's tables.

    Attributes:
        scans: uses since the statistics began.
        is_rule: enforces a rule, such as that a value is unique.
        is_valid: False: building it failed; migrate again.
    """

    scans: int
    is_rule: bool
    is_valid: bool
    table_name: str
    name: str
    index_bytes: int

    @property
    def is_unused(self) -> bool:
        """Whether no query has used it: it only costs each write time."""
        return self.scans == 0 and not self.is_rule


@dataclass(frozen=True, slots=True)
class DatabaseStatistics:
    """The row of describe_database: the whole database since its statistics began."""

    blocks_hit: int
    blocks_read: int
    deadlocks: int
    rollbacks: int
    temporary_bytes: int
    statistics_since: datetime | None
    active_connections: int
    idle_connections: int
    idle_in_transaction_connections: int
    longest_transaction_seconds: float
    size_bytes: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that waits.

    Attributes:
        oldest_message_at: None: there is no message.
        turns_running: turns that hold a lease.
        turns_lapsed: turns of the last hour whose lease ran out before their function gave them
            back.
        streams_kept: answers whose parts are kept in batches because they are not stored yet.
    """

    oldest_message_at: datetime | None
    turns_running: int
    turns_lapsed: int
    streams_kept: int


@dataclass(frozen=True, slots=True)
class SlowStatement:
    """A statement of Parley's, by the database's own measurement."""

    statement: str | None
    calls: int | None
    total_seconds: float | None
    mean_seconds: float | None
    row_count: int | None


LIST_COUNTERS = Statement("operations/list_counters", Counter)
LIST_TABLES = Statement("operations/list_tables", Table)
LIST_INDEXES = Statement("operations/list_indexes", Index)
DESCRIBE_DATABASE = Statement("operations/describe_database", DatabaseStatistics)
COUNT_BACKLOG = Statement("operations/count_backlog", Backlog)
LIST_SLOW_STATEMENTS = Statement("operations/list_slow_statements", SlowStatement)


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics that the database has, at one moment.

    Attributes:
        counted: the counts of all instances.
        tables: the tables of Parley.
        indexes: the indexes of those tables.
        statistics: the whole database.
        backlog: work that waits.
        slow_statements: the slowest first; None: pg_stat_statements is missing.
    """

    counted: list[Counter]
    tables: list[Table]
    indexes: list[Index]
    statistics: DatabaseStatistics
    backlog: Backlog
    slow_statements: list[SlowStatement] | None


async def read_database(database: Database) -> Reading | None:
    """Store the counts of this process, and read all metrics of the database. One round trip.

    Returns:
        The metrics; None: the database cannot be reached.

    Raises:
        DatabaseNotMigrated: migrations are missing.
    """
    await storing().settle()
    cells = counters().take()
    try:
        _, counted, tables, indexes, [statistics], [backlog], slow = await database.run(
            adding(cells),
            LIST_COUNTERS(now=None),
            LIST_TABLES(),
            LIST_INDEXES(),
            DESCRIBE_DATABASE(),
            COUNT_BACKLOG(now=None),
            LIST_SLOW_STATEMENTS(page_size=MOST_SLOW_STATEMENTS),
        )
    except (DatabaseUnavailable, DatabaseTooSlow):
        counters().put_back(cells)
        return None
    except Exception:
        counters().put_back(cells)
        raise
    has_statistics = not (slow and slow[0].statement is None)
    return Reading(counted, tables, indexes, statistics, backlog, slow if has_statistics else None)


# Prometheus gives up after 10 seconds, and would then not read `database_up` 0.
PATIENCE_SECONDS = 5.0


@query_string
class MetricsQuery:
    """The query of GET /api/metrics."""

    format: Literal["prometheus", "json"] = parameter(
        one_of("prometheus", "json"), default="prometheus"
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics, at one moment.

    Attributes:
        pool: the connections of the process that answers.
        reading: the metrics of the database; None: it cannot be reached.
    """

    pool: dict[str, int]
    reading: Reading | None


async def read_metrics(database: Database) -> Metrics:
    """Read all metrics in one round trip, waiting for PATIENCE_SECONDS at most.

    Raises:
        DatabaseNotMigrated: migrations are missing.
    """
    # First, because the reading below takes a connection itself.
    pool = database.pool_metrics()
    # A task, which outlives the time-out: it must learn whether its counts were stored.
    reading = asyncio.create_task(read_database(database))
    reading.add_done_callback(_note_outcome)
    await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
    return Metrics(pool, await reading if reading.done() else None)


def _note_outcome(reading: asyncio.Task[Reading | None]) -> None:
    """Retrieve the exception: after a time-out nothing awaits this task, and asyncio would warn."""
    if not reading.cancelled():
        reading.exception()
