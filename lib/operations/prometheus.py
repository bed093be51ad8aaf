"""The figures in Prometheus's text format, version 0.0.4 (its document "Exposition formats")."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from lib import __version__
from lib.operations.metrics import Backlog, Counter, Metrics, Reading
from lib.runtime.counting import FIGURES, Figure

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


MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTED = "Of all instances, each of which adds its own after a response."


def text_of(metrics: Metrics) -> bytes:
    """Return all figures in the text format."""
    lines: list[str] = []
    for name, kind, text, samples in families_of(metrics):
        lines += _heading(name, kind, text)
        lines += [_line(name, labels, value) for labels, value in samples]
    if metrics.reading is not None:
        for figure in FIGURES:
            counted = [each for each in metrics.reading.counted if each.figure == figure.name]
            lines += _counted(figure, counted)
    return ("\n".join(lines) + "\n").encode()


def _counted(figure: Figure, counted: list[Counter]) -> Iterator[str]:
    """Yield the lines of something that all instances have counted; none, if they have not."""
    if not counted:
        return
    text = f"{figure.text} {COUNTED}"
    if not figure.bounds:
        yield from _heading(f"{figure.name}_total", "counter", text)
        for each in counted:
            yield _line(f"{figure.name}_total", _labels(figure, each), each.count)
        return
    yield from _heading(figure.name, "histogram", text)
    series: dict[tuple[str, str], list[Counter]] = {}
    for each in counted:
        series.setdefault((each.function, each.label), []).append(each)
    for cells in series.values():
        yield from _histogram(figure, cells)


def _histogram(figure: Figure, cells: list[Counter]) -> Iterator[str]:
    """Yield one histogram: of its buckets, each holds those before it, too."""
    labels = _labels(figure, cells[0])
    for bound in (*figure.bounds, math.inf):
        count = sum(each.count for each in cells if each.bound <= bound)
        yield _line(f"{figure.name}_bucket", labels | {"le": _number(bound)}, count)
    yield _line(f"{figure.name}_sum", labels, sum(each.total for each in cells))
    yield _line(f"{figure.name}_count", labels, sum(each.count for each in cells))


def _labels(figure: Figure, counter: Counter) -> dict[str, str]:
    beside = {figure.label: counter.label} if figure.label else {}
    return {"function": counter.function} | beside


def _heading(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP parley_{name} {text}"
    yield f"# TYPE parley_{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{label}="{_escaped(given)}"' for label, given in labels.items())
    return (
        f"parley_{name}{{{written}}} {_number(value)}"
        if written
        else f"parley_{name} {_number(value)}"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return "+Inf" if math.isinf(value) else repr(float(value)) if value % 1 else str(int(value))
