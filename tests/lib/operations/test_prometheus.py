"""The text that Prometheus reads: the names, labels and values that dashboards rely on."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

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
from lib.operations.prometheus import Reader, text_of
from lib.operations.text_format import TEXT_FORMAT
from lib.runtime.counting import METRICS
from tests.support.product import ROOT

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
POOL = {"max": 10, "size": 3, "idle": 1, "waiting": 2}
# Parley's text for READING before prometheus_client wrote it, without the HELP lines.
FORMER = Path(__file__).with_name("prometheus.txt").read_text(encoding="utf-8")
# Metrics that need no explanation.
UNEXPLAINED = {"info", "pool_max_connections", "table_vacuumed_timestamp_seconds"}


def counter(
    name: str, function: str, label: str, count: int, *, bound: float = math.inf, total: float = 0.0
) -> Counter:
    """Return a row of list_counters; the counts of the day do not matter here."""
    return Counter(name, function, label, bound, count, total, 0, 0.0)


COUNTERS = [
    counter("request_seconds", "api/chat", "", 2, bound=0.5, total=0.75),
    counter("request_seconds", "api/chat", "", 1, total=400.125),
    counter("request_seconds", "api/history", "", 1, bound=0.05, total=0.01),
    counter("responses", "api/chat", "200", 12_345_678),
    counter("responses", "api/history", 'a "quoted" \\ label\nof two lines', 1),
    counter("statement_seconds", "api/chat", "begin_turn", 1, bound=0.0025, total=0.002),
]
READING = Reading(
    counted=COUNTERS,
    tables=[
        Table(1000, 20, 3, "chat_messages", 123_456_789, 65_536, 40, 99, 1, NOW, None),
        Table(0, 0, 0, "tasks", 8192, 8192, 0, 0, 0, None, None),
    ],
    indexes=[
        Index(0, False, True, "tasks", "idx_tasks_title", 8192),
        Index(7, True, False, "users", "users_pkey", 16_384),
    ],
    statistics=DatabaseStatistics(990, 10, 1, 2, 4096, NOW, 1, 2, 3, 12.5, 987_654_321_012, 100),
    # In the future, so the age is 0 at any time of the test.
    backlog=Backlog(datetime(9000, 1, 1, tzinfo=UTC), 4, 5, 6),
    slow_statements=[
        SlowStatement("read_history", 10, 1.5, 0.15, 500),
        SlowStatement(None, None, None, None, None),
    ],
)


def test_the_text_has_the_names_types_labels_and_values_of_the_former_one() -> None:
    assert families(text_of(Metrics(POOL, READING)).decode()) == families(FORMER)


def test_the_age_of_the_oldest_message_is_in_seconds() -> None:
    day_old = Backlog(datetime.now(UTC) - timedelta(days=1), 0, 0, 0)

    found = families(text_of(Metrics(POOL, replace(READING, backlog=day_old))).decode())

    [(_, age)] = found["parley_oldest_message_age_seconds", "gauge"].items()
    assert 86_400 <= age < 86_500


def test_without_a_database_the_text_has_the_process_alone() -> None:
    found = families(text_of(Metrics(POOL, None)).decode())

    assert {name for name, _ in found} == {
        "parley_info",
        "parley_database_up",
        "parley_pool_connections",
        "parley_pool_max_connections",
        "parley_pool_waiting_requests",
    }
    assert found["parley_database_up", "gauge"] == {("parley_database_up", ()): 0}


def test_each_metric_is_in_the_document_for_operators() -> None:
    document = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    counters = [counter(metric.name, "api/chat", "", 1) for metric in METRICS]
    metrics = Metrics(POOL, replace(READING, counted=counters))

    names = {
        metric.name.removeprefix("parley_") + ("_total" if metric.type == "counter" else "")
        for metric in Reader(metrics).collect()
    }

    assert len(names) > 35
    assert {name for name in names if f"`{name}`" not in document} == UNEXPLAINED


def test_the_content_type_is_that_of_the_text_which_the_package_writes() -> None:
    assert TEXT_FORMAT == CONTENT_TYPE_PLAIN_0_0_4


def test_each_metric_has_a_help_text() -> None:
    assert [
        each.name for each in Reader(Metrics(POOL, READING)).collect() if not each.documentation
    ] == []


def families(text: str) -> dict[tuple[str, str], dict[Any, float]]:
    """Return the values by series, of each family by its name and type, as Prometheus parses it."""
    return {
        (family.name, family.type): {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }
