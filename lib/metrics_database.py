"""What the database tells for GET /api/metrics: all counts, sizes, use, connections, backlog."""

from dataclasses import dataclass
from datetime import datetime

from lib.counters import adding, storing
from lib.database import Database
from lib.figures import counters
from lib.problems import DatabaseUnavailable
from lib.statements import Statement

MOST_SLOW_STATEMENTS = 20


@dataclass(frozen=True, slots=True)
class Counter:
    """A row of list_counters."""

    figure: str
    function: str
    label: str
    bound: float
    count: int
    total: float
    day_count: int
    day_total: float


@dataclass(frozen=True, slots=True)
class Table:
    """A row of list_tables."""

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
    """A row of list_indexes."""

    scans: int
    is_rule: bool
    is_valid: bool
    table_name: str
    name: str
    index_bytes: int

    @property
    def is_unused(self) -> bool:
        """It costs each write something, and has never served anybody."""
        return self.scans == 0 and not self.is_rule


@dataclass(frozen=True, slots=True)
class Whole:
    """The row of describe_database."""

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
    """The row of count_backlog."""

    oldest_message_at: datetime | None
    turns_running: int
    turns_lapsed: int
    streams_kept: int


@dataclass(frozen=True, slots=True)
class SlowStatement:
    """A row of list_slow_statements."""

    statement: str | None
    calls: int | None
    total_seconds: float | None
    mean_seconds: float | None
    row_count: int | None


LIST_COUNTERS = Statement("list_counters", Counter)
LIST_TABLES = Statement("list_tables", Table)
LIST_INDEXES = Statement("list_indexes", Index)
DESCRIBE_DATABASE = Statement("describe_database", Whole)
COUNT_BACKLOG = Statement("count_backlog", Backlog)
LIST_SLOW_STATEMENTS = Statement("list_slow_statements", SlowStatement)


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the database tells, at one moment.

    Attributes:
        counted: what all instances have counted.
        tables: Parley's.
        indexes: theirs.
        whole: the database as a whole.
        backlog: what waits to be done.
        slow_statements: the slowest; None: pg_stat_statements is not there.
    """

    counted: list[Counter]
    tables: list[Table]
    indexes: list[Index]
    whole: Whole
    backlog: Backlog
    slow_statements: list[SlowStatement] | None


async def read_database(database: Database) -> Reading | None:
    """Store what this process has counted, and read everything. One round trip.

    Returns:
        None: the database cannot be reached.

    Raises:
        DatabaseNotMigrated: migrations are missing.
    """
    await storing().settle()
    cells = counters().take()
    try:
        _, counted, tables, indexes, [whole], [backlog], slow = await database.run(
            adding(cells),
            LIST_COUNTERS(now=None),
            LIST_TABLES(),
            LIST_INDEXES(),
            DESCRIBE_DATABASE(),
            COUNT_BACKLOG(now=None),
            LIST_SLOW_STATEMENTS(page_size=MOST_SLOW_STATEMENTS),
        )
    except DatabaseUnavailable:
        counters().put_back(cells)
        return None
    except Exception:
        counters().put_back(cells)
        raise
    is_there = not (slow and slow[0].statement is None)
    return Reading(counted, tables, indexes, whole, backlog, slow if is_there else None)
