"""What GET /api/metrics tells besides what is counted: the pool, and the database, as families.

A family is what Prometheus calls the samples of one name.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from lib import __version__
from lib.metrics import Metrics
from lib.metrics_database import Backlog, Reading

type Labels = Mapping[str, str]
type Sample = tuple[Labels, float]
# Name, kind, text, and the samples.
type Family = tuple[str, str, str, list[Sample]]


def families_of(metrics: Metrics) -> Iterator[Family]:
    """Yield the families: without the database, the little that is known without it."""
    yield from _process(metrics)
    if metrics.reading is not None:
        yield from _whole(metrics.reading)
        yield from _tables(metrics.reading)
        yield from _indexes(metrics.reading)
        yield from _backlog(metrics.reading.backlog)
        yield from _slow_statements(metrics.reading)


def _process(metrics: Metrics) -> Iterator[Family]:
    pool = metrics.pool
    here = "Of the process that answered this request alone: "
    yield "info", "gauge", "The version that answered.", [({"version": __version__}, 1)]
    yield (
        "database_up",
        "gauge",
        "1: the database answered; 0: it did not, and all its figures are missing here.",
        [({}, metrics.reading is not None)],
    )
    yield (
        "pool_connections",
        "gauge",
        f"{here}connections of its pool.",
        [({"state": "in_use"}, pool["size"] - pool["idle"]), ({"state": "idle"}, pool["idle"])],
    )
    yield (
        "pool_max_connections",
        "gauge",
        f"{here}DB_POOL_MAX.",
        [({}, pool["max"])],
    )
    yield (
        "pool_waiting_requests",
        "gauge",
        f"{here}requests that wait for a connection. Of all instances see connection_wait_seconds.",
        [({}, pool["waiting"])],
    )


def _whole(reading: Reading) -> Iterator[Family]:
    whole = reading.whole
    yield "database_bytes", "gauge", "Size of the database.", [({}, whole.size_bytes)]
    yield (
        "database_blocks_total",
        "counter",
        "Blocks that were found in the database's own cache (hit), or not (read).",
        [({"from": "hit"}, whole.blocks_hit), ({"from": "read"}, whole.blocks_read)],
    )
    yield (
        "database_connections",
        "gauge",
        "Connections of all clients and instances, as the database sees them, by what they do.",
        [
            ({"state": "active"}, whole.active_connections),
            ({"state": "idle"}, whole.idle_connections),
            ({"state": "idle_in_transaction"}, whole.idle_in_transaction_connections),
        ],
    )
    yield "database_max_connections", "gauge", "Its max_connections.", [({}, whole.max_connections)]
    yield "database_deadlocks_total", "counter", "Deadlocks.", [({}, whole.deadlocks)]
    yield "database_rollbacks_total", "counter", "Transactions undone.", [({}, whole.rollbacks)]
    yield (
        "database_temporary_bytes_total",
        "counter",
        "Written to temporary files, since it did not fit into memory.",
        [({}, whole.temporary_bytes)],
    )
    yield (
        "database_longest_transaction_seconds",
        "gauge",
        "Age of the oldest open transaction: until it ends, dead rows stay.",
        [({}, whole.longest_transaction_seconds)],
    )


def _tables(reading: Reading) -> Iterator[Family]:
    named = [({"table": each.name}, each) for each in reading.tables]
    yield (
        "table_rows",
        "gauge",
        "Rows, as the database estimates them.",
        [(labels, each.row_count) for labels, each in named],
    )
    yield (
        "table_dead_rows",
        "gauge",
        "Rows that were deleted or replaced and still take up room, estimated.",
        [(labels, each.dead_row_count) for labels, each in named],
    )
    yield (
        "table_bytes",
        "gauge",
        "Size of a table with its large values, without its indexes.",
        [(labels, each.table_bytes) for labels, each in named],
    )
    yield (
        "table_scans_total",
        "counter",
        "How often it was read as a whole (sequential), or by an index.",
        [
            (labels | {"by": by}, scans)
            for labels, each in named
            for by, scans in (("sequential", each.sequential_scans), ("index", each.index_scans))
        ],
    )
    yield (
        "table_blocks_total",
        "counter",
        "Blocks of a table and its indexes: found in the database's own cache (hit), or not.",
        [
            (labels | {"from": source}, blocks)
            for labels, each in named
            for source, blocks in (("hit", each.blocks_hit), ("read", each.blocks_read))
        ],
    )
    yield (
        "table_vacuumed_timestamp_seconds",
        "gauge",
        "When it was last vacuumed; 0: never.",
        [
            (labels, each.vacuumed_at.timestamp() if each.vacuumed_at else 0)
            for labels, each in named
        ],
    )


def _indexes(reading: Reading) -> Iterator[Family]:
    named = [({"table": each.table_name, "index": each.name}, each) for each in reading.indexes]
    yield (
        "index_bytes",
        "gauge",
        "Size of an index.",
        [(labels, each.index_bytes) for labels, each in named],
    )
    yield (
        "index_scans_total",
        "counter",
        "How often an index was used.",
        [(labels, each.scans) for labels, each in named],
    )
    yield (
        "index_unused",
        "gauge",
        "1: never used since the statistics began, and it enforces no rule.",
        [(labels, each.is_unused) for labels, each in named],
    )
    yield (
        "index_invalid",
        "gauge",
        "1: its building failed; migrate again.",
        [(labels, not each.is_valid) for labels, each in named],
    )


def _backlog(backlog: Backlog) -> Iterator[Family]:
    oldest = backlog.oldest_message_at
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0
    yield (
        "oldest_message_age_seconds",
        "gauge",
        "Age of the oldest message; a day past RETENTION_DAYS: the cron does not keep up.",
        [({}, max(age, 0))],
    )
    yield "turns_running", "gauge", "Turns that are taken.", [({}, backlog.turns_running)]
    yield (
        "turns_lapsed",
        "gauge",
        "Turns whose lease ran out: their function was ended before it could give them back.",
        [({}, backlog.turns_lapsed)],
    )
    yield (
        "streams_kept",
        "gauge",
        "Answers that are not stored yet, whose parts are kept in batches.",
        [({}, backlog.streams_kept)],
    )


def _slow_statements(reading: Reading) -> Iterator[Family]:
    slow = reading.slow_statements
    yield (
        "statement_statistics_available",
        "gauge",
        "1: the extension pg_stat_statements is there; 0: it is not, and no server figures are.",
        [({}, slow is not None)],
    )
    named = [({"statement": each.statement or ""}, each) for each in slow or []]
    yield (
        "statement_server_seconds_total",
        "counter",
        "Time that the database itself took for a statement; the 20 that took most.",
        [(labels, each.total_seconds or 0) for labels, each in named],
    )
    yield (
        "statement_server_calls_total",
        "counter",
        "How often the database ran that statement.",
        [(labels, each.calls or 0) for labels, each in named],
    )
