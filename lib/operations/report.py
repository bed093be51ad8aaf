"""The figures for people: GET /api/metrics?format=json."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lib import __version__
from lib.operations.metrics import Counter, Metrics, Reading
from lib.runtime import counting as figures
from lib.runtime.counting import Figure

NO_STATISTICS = "not known: the database lacks the extension pg_stat_statements"
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
# Upper bound of a bucket, how often, and the values' sum.
type Bucket = tuple[float, int, float]


def report_of(metrics: Metrics) -> dict[str, Any]:
    """Return all figures; what all instances have counted today, by UTC, and ever."""
    reading = metrics.reading
    pool = metrics.pool
    report: dict[str, Any] = {
        "version": __version__,
        "database_up": reading is not None,
        "pool_of_this_process": pool | {"in_use": pool["size"] - pool["idle"]},
    }
    if reading is None:
        return report
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = _Counted(reading.counted, lambda each: (each.bound, each.day_count, each.day_total))
    ever = _Counted(reading.counted, lambda each: (each.bound, each.count, each.total))
    return report | {
        "today": {"since": midnight} | today.report(),
        "ever": ever.report(),
        "database": _database(reading),
    }


class _Counted:
    """What all instances have counted, within some time."""

    def __init__(self, counted: list[Counter], bucket: Callable[[Counter], Bucket]) -> None:
        """Take the rows, and what of a row belongs to that time."""
        self._rows = [(each, bucket(each)) for each in counted if bucket(each)[1]]

    def report(self) -> dict[str, Any]:
        return {
            "requests": {
                function: self._times(figures.REQUESTS, function=function)
                for function in self._functions()
            },
            "responses": self._counts(figures.RESPONSES),
            "problems": self._counts(figures.PROBLEMS),
            "turns": {
                "by_finish_reason": self._counts(figures.FINISHES),
                "failures": self._counts(figures.FAILURES),
                "tokens": self._counts(figures.TOKENS),
                "duration": self._times(figures.TURNS),
                "first_token": self._times(figures.FIRST_TOKENS),
                "model_wait": self._times(figures.MODEL_WAITS),
            },
            "connection_wait": self._times(figures.WAITS),
            "statements": self._statements(),
        }

    def _functions(self) -> list[str]:
        return sorted({each.function for each, _ in self._of(figures.REQUESTS)})

    def _of(self, figure: Figure) -> list[tuple[Counter, Bucket]]:
        return [row for row in self._rows if row[0].figure == figure.name]

    def _counts(self, figure: Figure) -> dict[str, int]:
        counts: dict[str, int] = {}
        for each, (_, count, _) in self._of(figure):
            counts[each.label] = counts.get(each.label, 0) + count
        return counts

    def _times(
        self, figure: Figure, *, function: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        found = [
            bucket
            for each, bucket in self._of(figure)
            if function in {None, each.function} and label in {None, each.label}
        ]
        return _times(figure, found)

    def _statements(self) -> list[dict[str, Any]]:
        """Return the statements, those first that took the most time in all."""
        errors = self._counts(figures.STATEMENT_ERRORS)
        seconds: dict[str, float] = {}
        for each, (_, _, total) in self._of(figures.STATEMENTS):
            seconds[each.label] = seconds.get(each.label, 0.0) + total
        return [
            {"statement": name, "errors": errors.get(name, 0)}
            | self._times(figures.STATEMENTS, label=name)
            for name in sorted(seconds, key=lambda name: -seconds[name])
        ]


def _times(figure: Figure, buckets: Iterable[Bucket]) -> dict[str, Any]:
    """Return how often, and how long: the mean and the quantiles, in milliseconds."""
    counts: dict[float, int] = {}
    total = 0.0
    for bound, count, seconds in buckets:
        counts[bound] = counts.get(bound, 0) + count
        total += seconds
    number = sum(counts.values())
    if not number:
        return {"count": 0}
    quantiles = {
        name: round(quantile(figure.bounds, counts, share) * 1000, 1)
        for name, share in QUANTILES.items()
    }
    return {"count": number, "mean_ms": round(total / number * 1000, 1)} | quantiles


def quantile(bounds: tuple[float, ...], counts: dict[float, int], share: float) -> float:
    """Return about the value that a share of all does not exceed.

    As Prometheus's histogram_quantile does: a bucket's values are taken to lie evenly in it; those
    beyond the last bound are taken for it.

    Args:
        bounds: upper bounds of all buckets but the last.
        counts: how often, by upper bound.
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


def _database(reading: Reading) -> dict[str, Any]:
    whole = reading.whole
    slow = reading.slow_statements
    backlog = asdict(reading.backlog)
    return asdict(whole) | {
        "cache_hit_rate": _rate(whole.blocks_hit, whole.blocks_read),
        "backlog": backlog,
        "tables": [
            asdict(each) | {"cache_hit_rate": _rate(each.blocks_hit, each.blocks_read)}
            for each in reading.tables
        ],
        "indexes": [asdict(each) for each in reading.indexes],
        "unused_indexes": [each.name for each in reading.indexes if each.is_unused],
        "invalid_indexes": [each.name for each in reading.indexes if not each.is_valid],
        "slowest_statements": NO_STATISTICS if slow is None else [asdict(each) for each in slow],
    }


def _rate(hit: int, read: int) -> float | None:
    """Return the share of blocks that were found in the cache; None: none was asked for."""
    return round(hit / (hit + read), 4) if hit + read else None
