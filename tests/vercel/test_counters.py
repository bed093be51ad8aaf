"""The counters of instances, each a process of its own, come together in the database."""

import httpx2
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.support.product import METRICS_TOKEN
from tests.support.runtime import invocation_headers, start_function


def test_an_instance_stores_its_counters_when_it_is_told_to_end(
    database_url: str, database: psycopg.Connection
) -> None:
    environment = {"DATABASE_URL": database_url, "METRICS_TOKEN": METRICS_TOKEN}
    for _ in range(2):
        with start_function("api/health.py", environment) as function:
            for _ in range(3):
                httpx2.get(f"{function.base_url}/api/health", headers=invocation_headers(30))
            function.wait_for("end", count=3)

    assert database.execute(
        "SELECT function, label, sum(count)::integer FROM metric_counters "
        "WHERE metric = 'responses' GROUP BY function, label"
    ).fetchall() == [("api/health", "200", 6)]


def test_the_metrics_function_answers_the_counts_of_other_functions(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "METRICS_TOKEN": METRICS_TOKEN}
    with (
        start_function("api/health.py", environment) as health,
        start_function("api/metrics.py", environment) as metrics,
    ):
        httpx2.get(f"{health.base_url}/api/health", headers=invocation_headers(30))
        health.wait_for("end")
        text = httpx2.get(
            f"{metrics.base_url}/api/metrics",
            headers=invocation_headers(30) | {"authorization": f"Bearer {METRICS_TOKEN}"},
        ).text

    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    [responses] = [each for each in samples if each.name == "parley_responses_total"]
    assert responses.labels == {"function": "api/health", "status": "200"}
    assert responses.value == 1
