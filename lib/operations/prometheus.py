"""The metrics in Prometheus's text format.

Importing prometheus_client takes 58 ms, most of it for an HTTP server that Parley does not use. So
the metrics function imports this module when Prometheus asks, and no function imports it at start.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import override

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from lib import __version__
from lib.operations.metrics import (
    Backlog,
    Counter,
    DatabaseStatistics,
    Index,
    Metrics,
    SlowStatement,
    Table,
)
from lib.runtime.counting import METRICS
from lib.runtime.counting import Metric as CountedMetric


@dataclass(frozen=True, slots=True)
class Family[Row]:
    """A metric that is read from a row, such as that of a table or of the whole database.

    Attributes:
        name: without `parley_`; a counter's ends in `_total`, and any other metric is a gauge.
        text: its HELP.
        read: returns the row's value, or its values by a label of their own.
        label: the name of that label.
    """

    name: str
    text: str
    read: Callable[[Row], float | Mapping[str, float]]
    label: str = ""


PROCESS: tuple[Family[Metrics], ...] = (
    Family("info", "The version that answered.", lambda _: {__version__: 1}, "version"),
    Family(
        "database_up",
        "1: the database answered; 0: it did not, and all its metrics are missing here.",
        lambda metrics: metrics.reading is not None,
    ),
    Family(
        "pool_connections",
        "Of the process that answered this request alone: connections of its pool.",
        lambda metrics: {
            "in_use": metrics.pool["size"] - metrics.pool["idle"],
            "idle": metrics.pool["idle"],
        },
        "state",
    ),
    Family(
        "pool_max_connections",
        "Of the process that answered this request alone: DB_POOL_MAX.",
        lambda metrics: metrics.pool["max"],
    ),
    Family(
        "pool_waiting_requests",
        "Of the process that answered this request alone: requests that wait for a connection. "
        "Of all instances see connection_wait_seconds.",
        lambda metrics: metrics.pool["waiting"],
    ),
)
DATABASE: tuple[Family[DatabaseStatistics], ...] = (
    Family("database_bytes", "Size of the database.", lambda row: row.size_bytes),
    Family(
        "database_blocks_total",
        "Blocks that were found in the database's own cache (hit), or not (read).",
        lambda row: {"hit": row.blocks_hit, "read": row.blocks_read},
        "from",
    ),
    Family(
        "database_connections",
        "Connections of all clients and instances, as the database sees them, by state.",
        lambda row: {
            "active": row.active_connections,
            "idle": row.idle_connections,
            "idle_in_transaction": row.idle_in_transaction_connections,
        },
        "state",
    ),
    Family("database_max_connections", "Its max_connections.", lambda row: row.max_connections),
    Family("database_deadlocks_total", "Deadlocks.", lambda row: row.deadlocks),
    Family("database_rollbacks_total", "Transactions undone.", lambda row: row.rollbacks),
    Family(
        "database_temporary_bytes_total",
        "Written to temporary files, since it did not fit into memory.",
        lambda row: row.temporary_bytes,
    ),
    Family(
        "database_longest_transaction_seconds",
        "Age of the oldest open transaction: until it ends, dead rows stay.",
        lambda row: row.longest_transaction_seconds,
    ),
)
TABLES: tuple[Family[Table], ...] = (
    Family("table_rows", "Rows, as the database estimates them.", lambda row: row.row_count),
    Family(
        "table_dead_rows",
        "Rows that were deleted or replaced and still take up room, estimated.",
        lambda row: row.dead_row_count,
    ),
    Family(
        "table_bytes",
        "Size of a table with its large values, without its indexes.",
        lambda row: row.table_bytes,
    ),
    Family(
        "table_scans_total",
        "How often it was read as a whole (sequential), or by an index.",
        lambda row: {"sequential": row.sequential_scans, "index": row.index_scans},
        "by",
    ),
    Family(
        "table_blocks_total",
        "Blocks of a table and its indexes: found in the database's own cache (hit), or not.",
        lambda row: {"hit": row.blocks_hit, "read": row.blocks_read},
        "from",
    ),
    Family(
        "table_vacuumed_timestamp_seconds",
        "When it was last vacuumed; 0: never.",
        lambda row: row.vacuumed_at.timestamp() if row.vacuumed_at else 0,
    ),
)
INDEXES: tuple[Family[Index], ...] = (
    Family("index_bytes", "Size of an index.", lambda row: row.index_bytes),
    Family("index_scans_total", "How often an index was used.", lambda row: row.scans),
    Family(
        "index_unused",
        "1: never used since the statistics began, and it enforces no rule.",
        lambda row: row.is_unused,
    ),
    Family("index_invalid", "1: its building failed; migrate again.", lambda row: not row.is_valid),
)
BACKLOG: tuple[Family[Backlog], ...] = (
    Family(
        "oldest_message_age_seconds",
        "Age of the oldest message; a day past RETENTION_DAYS: the cron does not keep up.",
        lambda row: _age_seconds(row.oldest_message_at),
    ),
    Family("turns_running", "Turns that are taken.", lambda row: row.turns_running),
    Family(
        "turns_lapsed",
        "Turns whose lease ran out: their function was ended before it could give them back.",
        lambda row: row.turns_lapsed,
    ),
    Family(
        "streams_kept",
        "Answers that are not stored yet, whose parts are kept in batches.",
        lambda row: row.streams_kept,
    ),
)
STATISTICS: tuple[Family[bool], ...] = (
    Family(
        "statement_statistics_available",
        "1: the extension pg_stat_statements is there; 0: it is not, and no server metrics are.",
        lambda is_available: is_available,
    ),
)
SLOW_STATEMENTS: tuple[Family[SlowStatement], ...] = (
    Family(
        "statement_server_seconds_total",
        "Time that the database itself took for a statement; the 20 that took most.",
        lambda row: row.total_seconds or 0,
    ),
    Family(
        "statement_server_calls_total",
        "How often the database ran that statement.",
        lambda row: row.calls or 0,
    ),
)
COUNTED = "Of all instances, each of which adds its own after a response."


def text_of(metrics: Metrics) -> bytes:
    """Return all metrics in the text format."""
    return generate_latest(Reader(metrics))


class Reader(Collector):
    """Gives prometheus_client the metrics of one reading."""

    def __init__(self, metrics: Metrics) -> None:
        """Take the reading."""
        self._metrics = metrics

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; without a database only those of the process."""
        yield from _read(PROCESS, {(): self._metrics})
        reading = self._metrics.reading
        if reading is None:
            return
        yield from _read(DATABASE, {(): reading.statistics})
        yield from _read(TABLES, {(each.name,): each for each in reading.tables}, "table")
        indexes = {(each.table_name, each.name): each for each in reading.indexes}
        yield from _read(INDEXES, indexes, "table", "index")
        yield from _read(BACKLOG, {(): reading.backlog})
        slow = reading.slow_statements
        yield from _read(STATISTICS, {(): slow is not None})
        statements = {(each.statement or "",): each for each in slow or []}
        yield from _read(SLOW_STATEMENTS, statements, "statement")
        for metric in METRICS:
            # A metric that no instance has counted yet is left out.
            if counters := [each for each in reading.counted if each.metric == metric.name]:
                yield _sum_up(metric, counters)


def _read[Row](
    families: Sequence[Family[Row]], rows: Mapping[tuple[str, ...], Row], *labels: str
) -> Iterator[Metric]:
    """Yield the metrics of some rows, which are given by the values of their labels."""
    for family in families:
        kind = CounterMetricFamily if family.name.endswith("_total") else GaugeMetricFamily
        names = (*labels, family.label) if family.label else labels
        metric = kind(f"parley_{family.name}", family.text, labels=names)
        for row_labels, row in rows.items():
            value = family.read(row)
            if isinstance(value, Mapping):
                for label, labeled_value in value.items():
                    metric.add_metric((*row_labels, label), labeled_value)
            else:
                metric.add_metric(row_labels, value)
        yield metric


def _age_seconds(at: datetime | None) -> float:
    return max((datetime.now(UTC) - at).total_seconds(), 0) if at else 0


def _sum_up(metric: CountedMetric, counters: list[Counter]) -> Metric:
    """Return the counts of all instances: a counter, or a histogram for a metric with bounds."""
    name, text = f"parley_{metric.name}", f"{metric.text} {COUNTED}"
    labels = ("function", *metric.labels)
    series: dict[tuple[str, ...], list[Counter]] = {}
    for counter in counters:
        values = counter.label.split(" ", len(metric.labels) - 1) if metric.labels else []
        series.setdefault((counter.function, *values), []).append(counter)
    if not metric.bounds:
        family = CounterMetricFamily(name, text, labels=labels)
        for values, cells in series.items():
            family.add_metric(values, sum(cell.count for cell in cells))
        return family
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, cells in series.items():
        buckets = [
            # "1" rather than "1.0", so that the series that Prometheus has stored go on.
            ("+Inf" if math.isinf(bound) else f"{bound:g}", _count_up_to(bound, cells))
            for bound in (*metric.bounds, math.inf)
        ]
        family.add_metric(values, buckets, sum(cell.total for cell in cells))
    return family


def _count_up_to(bound: float, cells: list[Counter]) -> int:
    return sum(cell.count for cell in cells if cell.bound <= bound)
