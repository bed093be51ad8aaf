"""The metrics for people: GET /api/metrics?format=json.

Its types are part of the description of the HTTP interface (dev/openapi).
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

from lib import __version__
from lib.operations.metrics import (
    Backlog,
    Counter,
    DatabaseStatistics,
    Index,
    Metrics,
    Reading,
    SlowStatement,
    Table,
)
from lib.runtime import counting
from lib.runtime.counting import Metric

NO_STATISTICS = "not known: the database lacks the extension pg_stat_statements"
# Upper bound of a bucket in seconds, how often, and the sum of the values.
type Bucket = tuple[float, int, float]


class Pool(TypedDict):
    """The connections of one process to the database.

    Attributes:
        waiting: requests that wait for a connection.
    """

    max: int
    size: int
    idle: int
    waiting: int


class ProcessPool(Pool):
    """The connections of the process that answers; other functions have their own."""

    in_use: int


class Times(TypedDict):
    """How often something happened, and how long it took; only `count` where that is 0."""

    count: int
    mean_ms: NotRequired[float]
    p50_ms: NotRequired[float]
    p95_ms: NotRequired[float]
    p99_ms: NotRequired[float]


class StatementTimes(Times):
    """How often a statement was sent, how long it took, and how often it failed."""

    statement: str
    errors: int


class TurnMetrics(TypedDict):
    """How turns ended, how long they took, and what they asked of the model.

    Attributes:
        model_requests: by purpose and outcome.
        tokens: of all requests to the model, by kind.
        tokens_by_purpose: by purpose and kind.
        estimated_tokens: those of `tokens` that no provider has counted.
        cached_tokens: those of the prompts that providers read from their caches, by purpose.
    """

    by_finish_reason: dict[str, int]
    failures: dict[str, int]
    unreadable_events: int
    model_requests: dict[str, dict[str, int]]
    tokens: dict[str, int]
    tokens_by_purpose: dict[str, dict[str, int]]
    estimated_tokens: int
    cached_tokens: dict[str, int]
    duration: Times
    first_token: Times
    model_wait: Times


class Counted(TypedDict):
    """The counts of all instances.

    Attributes:
        requests: by function.
        responses: by status.
        problems: by code.
    """

    requests: dict[str, Times]
    responses: dict[str, int]
    problems: dict[str, int]
    turns: TurnMetrics
    connection_wait: Times
    statements: list[StatementTimes]


class CountedToday(Counted):
    """The counts of all instances today, by UTC."""

    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMetrics(Table):
    """One of Parley's tables.

    Attributes:
        cache_hit_rate: share of its blocks that were in the cache; None: none was read.
    """

    cache_hit_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseMetrics(DatabaseStatistics):
    """The whole database.

    Attributes:
        cache_hit_rate: share of the blocks that were in the cache; None: none was read.
        slowest_statements: A text where the extension pg_stat_statements is missing.
    """

    cache_hit_rate: float | None
    backlog: Backlog
    tables: list[TableMetrics]
    indexes: list[Index]
    unused_indexes: list[str]
    invalid_indexes: list[str]
    slowest_statements: list[SlowStatement] | str

    def to_json(self) -> dict[str, Any]:
        """Return it as clients see it."""
        return asdict(self)


class MetricsReport(TypedDict):
    """All metrics; the last three are missing while the database cannot be reached."""

    version: str
    database_up: bool
    pool_of_this_process: ProcessPool
    today: NotRequired[CountedToday]
    ever: NotRequired[Counted]
    database: NotRequired[DatabaseMetrics]


def report_of(metrics: Metrics) -> MetricsReport:
    """Return all metrics, with the counts of today, by UTC, and of all time."""
    reading = metrics.reading
    report: MetricsReport = {
        "version": __version__,
        "database_up": reading is not None,
        "pool_of_this_process": _pool(metrics.pool),
    }
    if reading is not None:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        report["today"] = {"since": midnight, **_counted(reading.counted, _of_today)}
        report["ever"] = _counted(reading.counted, _of_all_time)
        report["database"] = _database(reading)
    return report


def _pool(pool: dict[str, int]) -> ProcessPool:
    return {
        "max": pool["max"],
        "size": pool["size"],
        "idle": pool["idle"],
        "waiting": pool["waiting"],
        "in_use": pool["size"] - pool["idle"],
    }


def _of_today(counter: Counter) -> Bucket:
    return counter.bound, counter.day_count, counter.day_total


def _of_all_time(counter: Counter) -> Bucket:
    return counter.bound, counter.count, counter.total


def _counted(counters: list[Counter], bucket: Callable[[Counter], Bucket]) -> Counted:
    """Return the counts of the period that a function reads from a row."""
    counts = _Counts(counters, bucket)
    functions = sorted({counter.function for counter, _ in counts.of(counting.REQUESTS)})
    return {
        "requests": {
            function: counts.times(counting.REQUESTS, function=function) for function in functions
        },
        "responses": counts.by_label(counting.RESPONSES),
        "problems": counts.by_label(counting.PROBLEMS),
        "turns": {
            "by_finish_reason": counts.by_label(counting.FINISHES),
            "failures": counts.by_label(counting.FAILURES),
            "unreadable_events": sum(counts.by_label(counting.UNREADABLE_EVENTS).values()),
            "model_requests": counts.by_labels(counting.MODEL_REQUESTS, "purpose", "outcome"),
            "tokens": counts.by_label(counting.MODEL_TOKENS, "kind"),
            "tokens_by_purpose": counts.by_labels(counting.MODEL_TOKENS, "purpose", "kind"),
            "estimated_tokens": counts.by_label(counting.MODEL_TOKENS, "source").get(
                "estimated", 0
            ),
            "cached_tokens": counts.by_label(counting.CACHED_TOKENS),
            "duration": counts.times(counting.TURNS),
            "first_token": counts.times(counting.FIRST_TOKENS),
            "model_wait": counts.times(counting.MODEL_WAITS),
        },
        "connection_wait": counts.times(counting.WAITS),
        "statements": _statements(counts),
    }


class _Counts:
    """The counts of all instances in one period."""

    def __init__(self, counters: list[Counter], bucket: Callable[[Counter], Bucket]) -> None:
        """Take the rows that have counted something in the period."""
        buckets = ((counter, bucket(counter)) for counter in counters)
        self._rows = [(counter, bucket) for counter, bucket in buckets if bucket[1]]

    def of(self, metric: Metric) -> list[tuple[Counter, Bucket]]:
        """Return the rows of one metric."""
        return [row for row in self._rows if row[0].metric == metric.name]

    def by_label(self, metric: Metric, label: str = "") -> dict[str, int]:
        """Return the counts of one metric by one of its labels, or by its only one."""
        counts: dict[str, int] = {}
        for counter, (_, count, _) in self.of(metric):
            value = _labels_of(metric, counter)[label] if label else counter.label
            counts[value] = counts.get(value, 0) + count
        return counts

    def by_labels(self, metric: Metric, outer: str, inner: str) -> dict[str, dict[str, int]]:
        """Return the counts of one metric by two of its labels."""
        counts: dict[str, dict[str, int]] = {}
        for counter, (_, count, _) in self.of(metric):
            labels = _labels_of(metric, counter)
            inner_counts = counts.setdefault(labels[outer], {})
            inner_counts[labels[inner]] = inner_counts.get(labels[inner], 0) + count
        return counts

    def times(
        self, metric: Metric, *, function: str | None = None, label: str | None = None
    ) -> Times:
        """Return the times of one metric, of one function or label if they are given."""
        buckets = [
            bucket
            for counter, bucket in self.of(metric)
            if function in {None, counter.function} and label in {None, counter.label}
        ]
        return _times(metric, buckets)


def _labels_of(metric: Metric, counter: Counter) -> dict[str, str]:
    return dict(zip(metric.labels, counter.label.split(" "), strict=True))


def _statements(counts: _Counts) -> list[StatementTimes]:
    """Return the statements, those first that took the most time together."""
    errors = counts.by_label(counting.STATEMENT_ERRORS)
    seconds: dict[str, float] = {}
    for counter, (_, _, total) in counts.of(counting.STATEMENTS):
        seconds[counter.label] = seconds.get(counter.label, 0.0) + total
    return [
        {
            "statement": name,
            "errors": errors.get(name, 0),
            **counts.times(counting.STATEMENTS, label=name),
        }
        for name in sorted(seconds, key=lambda name: -seconds[name])
    ]


def _times(metric: Metric, buckets: Iterable[Bucket]) -> Times:
    counts: dict[float, int] = {}
    total_seconds = 0.0
    for bound, count, seconds in buckets:
        counts[bound] = counts.get(bound, 0) + count
        total_seconds += seconds
    number = sum(counts.values())
    if not number:
        return {"count": 0}
    return {
        "count": number,
        "mean_ms": _milliseconds(total_seconds / number),
        "p50_ms": _milliseconds(quantile(metric.bounds, counts, 0.5)),
        "p95_ms": _milliseconds(quantile(metric.bounds, counts, 0.95)),
        "p99_ms": _milliseconds(quantile(metric.bounds, counts, 0.99)),
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def quantile(bounds: tuple[float, ...], counts: dict[float, int], share: float) -> float:
    """Estimate the value that a share of all values does not exceed.

    Like Prometheus's histogram_quantile: takes the values of a bucket as spread evenly over it, and
    values beyond the last bound as that bound.

    Args:
        bounds: upper bounds of all buckets but the last, which has none.
        counts: number of values by upper bound of their bucket.
        share: 0 to 1.
    """
    rank = share * sum(counts.values())
    below, lower = 0, 0.0
    for upper in bounds:
        count = counts.get(upper, 0)
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return lower


def _database(reading: Reading) -> DatabaseMetrics:
    statistics = reading.statistics
    slow = reading.slow_statements
    return DatabaseMetrics(
        **asdict(statistics),
        cache_hit_rate=_rate(statistics.blocks_hit, statistics.blocks_read),
        backlog=reading.backlog,
        tables=[
            TableMetrics(**asdict(table), cache_hit_rate=_rate(table.blocks_hit, table.blocks_read))
            for table in reading.tables
        ],
        indexes=reading.indexes,
        unused_indexes=[index.name for index in reading.indexes if index.is_unused],
        invalid_indexes=[index.name for index in reading.indexes if not index.is_valid],
        slowest_statements=NO_STATISTICS if slow is None else slow,
    )


def _rate(hit: int, read: int) -> float | None:
    return round(hit / (hit + read), 4) if hit + read else None
