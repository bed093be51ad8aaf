"""GET /api/metrics: access to it, and the metrics of known traffic."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

import lib.database.client
import lib.operations.counters
import lib.operations.metrics
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import METRICS_TOKEN, Parley, problem_of, running_product
from tests.support.proxy import Proxy, proxied
from tests.support.serving import Switchboard

PATH = "/api/metrics"
READER = {"authorization": f"Bearer {METRICS_TOKEN}"}
pytestmark = pytest.mark.environment(METRICS_TOKEN=METRICS_TOKEN)

type Labels = tuple[tuple[str, str], ...]


async def read(parley: Parley) -> dict[tuple[str, Labels], float]:
    """Return all samples, by name and labels, as Prometheus's own parser reads them."""
    response = await parley.client.get(PATH, headers=READER)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def report(parley: Parley) -> dict[str, Any]:
    """Return the metrics for people."""
    response = await parley.client.get(PATH, headers=READER, params={"format": "json"})
    assert response.status_code == 200, response.text
    return response.json()


def sample(name: str, **labels: str) -> tuple[str, Labels]:
    """Return the key of a sample."""
    return f"parley_{name}", tuple(sorted(labels.items()))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer another token, as long as it")],
        [("authorization", f"Bearer {METRICS_TOKEN}x")],
        [("authorization", METRICS_TOKEN)],
        [("authorization", f"Basic {METRICS_TOKEN}")],
        [("authorization", f"Bearer {METRICS_TOKEN}é")],
        [*READER.items(), *READER.items()],
    ],
)
async def test_metrics_without_the_metrics_token_are_refused(
    parley: Parley, headers: list[tuple[str, str]]
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]

    problem_of(await parley.client.get(PATH, headers=raw), 401, "unauthenticated")


@pytest.mark.environment(METRICS_TOKEN=None)
async def test_without_a_token_there_are_no_metrics_and_nothing_is_stored(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!")

    for headers in ({}, READER, {"authorization": "Bearer None"}):
        problem_of(await parley.client.get(PATH, headers=headers), 404, "not_found")
    assert database.execute("SELECT count(*) FROM metric_counters").fetchall() == [(0,)]


async def test_known_traffic_is_in_the_metrics(parley: Parley, model: ScriptedModel) -> None:
    model.default = Reply(pieces=("Paris", "."))
    for _ in range(3):
        assert (await parley.say("What is the capital of France?")).status_code == 200
    model.default = Reply(status=500)
    problem_of(await parley.say("And of Italy?"), 502, "model_failed")
    for _ in range(2):
        problem_of(await parley.get("/api/history"), 422, "invalid_request")
    problem_of(await parley.get("/api/tasks"), 401, "unauthenticated")

    metrics = await read(parley)

    chat = {"function": "api/chat"}
    assert metrics[sample("responses_total", **chat, status="200")] == 3
    assert metrics[sample("responses_total", **chat, status="502")] == 1
    assert metrics[sample("problems_total", **chat, code="model_failed")] == 1
    assert metrics[sample("problems_total", function="api/history", code="invalid_request")] == 2
    assert metrics[sample("problems_total", function="api/tasks", code="unauthenticated")] == 1
    assert metrics[sample("turns_total", **chat, finish_reason="stop")] == 3
    assert metrics[sample("turn_failures_total", **chat, code="model_failed")] == 1
    answer = chat | {"purpose": "answer"}
    assert metrics[sample("model_requests_total", **answer, outcome="answered")] == 3
    assert metrics[sample("model_requests_total", **answer, outcome="failed")] == 1
    counted = answer | {"source": "counted"}
    assert metrics[sample("model_tokens_total", **counted, kind="prompt")] == 21
    assert metrics[sample("model_tokens_total", **counted, kind="completion")] == 6
    for histogram, times in (
        ("request_seconds", 4),
        ("turn_seconds", 3),
        ("first_token_seconds", 3),
        ("model_wait_seconds", 3),
    ):
        assert metrics[sample(f"{histogram}_count", **chat)] == times
        assert metrics[sample(f"{histogram}_bucket", **chat, le="+Inf")] == times
        assert metrics[sample(f"{histogram}_sum", **chat)] > 0
    for statement, times in (("begin_turn", 4), ("finish_turn", 3), ("release_turn", 1)):
        named = chat | {"statement": statement}
        assert metrics[sample("statement_seconds_count", **named)] == times
        assert sample("statement_errors_total", **named) not in metrics


async def test_a_bucket_of_a_histogram_counts_the_smaller_buckets_too(parley: Parley) -> None:
    for _ in range(5):
        await parley.get("/api/health")

    metrics = await read(parley)

    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in metrics.items()
        if name == "parley_statement_seconds_bucket" and ("statement", "list_migrations") in labels
    }
    counts = [buckets[bound] for bound in sorted(buckets)]
    assert len(counts) == 14
    assert counts == sorted(counts)
    assert counts[-1] == 5


async def test_an_answer_cut_midway_counts_as_a_turn_with_finish_reason_error(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(pieces=("Par",), cuts_after=1)

    response = await parley.send("What is the capital of France?")

    assert response.status_code == 200
    metrics = await read(parley)
    chat = {"function": "api/chat"}
    assert metrics[sample("turns_total", **chat, finish_reason="error")] == 1
    assert metrics[sample("turn_failures_total", **chat, code="model_failed")] == 1
    # The problem was a part of the stream.
    assert metrics[sample("problems_total", **chat, code="model_failed")] == 1


async def test_a_statement_that_fails_counts_as_a_statement_error(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("ALTER TABLE chat_messages ADD CONSTRAINT never CHECK (content <> 'My heart')")
    problem_of(await parley.say("My heart"), 409, "refused_by_rule")

    metrics = await read(parley)

    named = {"function": "api/chat", "statement": "begin_turn"}
    assert metrics[sample("statement_errors_total", **named)] == 1
    assert metrics[sample("statement_seconds_count", **named)] == 1


async def test_the_json_has_quantiles_and_counts_of_today_and_of_all_time(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.default = Reply(pieces=("Paris.",))
    await parley.say("What is the capital of France?")
    await report(parley)
    database.execute("UPDATE metric_counters SET day = day - 1")
    await parley.say("And of Italy?")

    metrics = await report(parley)

    for period, turns in (("today", 1), ("ever", 2)):
        counted = metrics[period]
        assert counted["turns"]["by_finish_reason"] == {"stop": turns}
        tokens = {"prompt": 7 * turns, "completion": turns}
        assert counted["turns"]["tokens"] == tokens
        assert counted["turns"]["tokens_by_purpose"] == {"answer": tokens}
        assert counted["turns"]["estimated_tokens"] == 0
        requests = {"answer": {"answered": turns}, "title": {"refused": turns}}
        assert counted["turns"]["model_requests"] == requests
        duration = counted["turns"]["duration"]
        assert duration["count"] == turns
        assert 0 < duration["p50_ms"] <= duration["p95_ms"] <= duration["p99_ms"]
        [begun] = [each for each in counted["statements"] if each["statement"] == "begin_turn"]
        assert begun.keys() == {"statement", "errors", "count", "mean_ms", *QUANTILES}
        assert (begun["count"], begun["errors"]) == (turns, 0)
        assert counted["requests"]["api/chat"]["count"] == turns
    assert metrics["pool_of_this_process"]["max"] == 10


QUANTILES = ("p50_ms", "p95_ms", "p99_ms")


async def test_the_metrics_have_the_databases_sizes_rows_indexes_and_backlog(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", user="ann")
    await parley.say("Hello!", user="bob")
    await statistics_reported(database)
    database.execute("UPDATE chat_messages SET created_at = created_at - interval '40 days'")
    database.execute("SELECT pg_stat_force_next_flush()")
    database.execute("VACUUM ANALYZE")
    database.execute(
        "UPDATE conversations SET turn_id = gen_random_uuid(), turn_expires_at = now() "
        "+ CASE user_id WHEN 'ann' THEN 1 ELSE -1 END * interval '1 minute'"
    )
    database.execute("SELECT pg_stat_force_next_flush()")

    metrics = await read(parley)

    assert metrics[sample("database_up")] == 1
    assert metrics[sample("database_bytes")] > 1_000_000
    assert metrics[sample("table_rows", table="chat_messages")] == 4
    assert metrics[sample("table_dead_rows", table="conversations")] == 2
    assert metrics[sample("table_bytes", table="chat_messages")] > 0
    assert metrics[sample("index_bytes", table="users", index="users_pkey")] > 0
    assert metrics[sample("index_unused", table="users", index="users_pkey")] == 0
    assert metrics[sample("turns_running")] == 1
    assert metrics[sample("turns_lapsed")] == 1
    assert 40 <= metrics[sample("oldest_message_age_seconds")] / 86_400 < 41
    assert metrics[sample("database_connections", state="active")] >= 1
    assert metrics[sample("statement_statistics_available")] == 0
    people = (await report(parley))["database"]
    assert 0 < people["cache_hit_rate"] <= 1
    assert "idx_tasks_title" in people["unused_indexes"]
    assert "users_pkey" not in people["unused_indexes"]
    assert people["invalid_indexes"] == []
    assert "pg_stat_statements" in people["slowest_statements"]


async def test_the_metrics_leave_out_tables_of_other_applications(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("CREATE TABLE invoices (id bigint PRIMARY KEY)")

    metrics = await report(parley)

    tables = {each["name"] for each in metrics["database"]["tables"]}
    assert {"users", "tasks", "chat_messages", "metric_counters"} <= tables
    assert "invoices" not in tables
    assert {each["table_name"] for each in metrics["database"]["indexes"]} <= tables


@pytest.fixture
async def proxy(environment: dict[str, str]) -> AsyncGenerator[Proxy]:
    """Return a proxy before the database that the product uses."""
    async with proxied(environment["DATABASE_URL"]) as (proxy, url):
        environment["DATABASE_URL"] = url
        yield proxy


async def test_metrics_are_read_in_one_round_trip(proxy: Proxy, parley: Parley) -> None:
    await parley.get("/api/health")
    await stored()
    proxy.forget()

    await read(parley)

    assert proxy.round_trips == 1


async def test_counters_are_stored_after_a_response_and_not_after_each(
    proxy: Proxy, parley: Parley, database: psycopg.Connection
) -> None:
    await parley.get("/api/health")
    await stored()
    proxy.forget()

    for _ in range(10):
        await parley.get("/api/health")

    assert proxy.round_trips == 10
    assert counted(database, "list_migrations") == 1


async def test_an_instance_answers_the_counts_of_another_instance(
    switchboard: Switchboard, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_product(switchboard, monkeypatch, environment) as first:
        for _ in range(3):
            await first.get("/api/health")

    async with running_product(switchboard, monkeypatch, environment) as second:
        metrics = await read(second)

    named = {"function": "api/health", "statement": "list_migrations"}
    assert metrics[sample("statement_seconds_count", **named)] == 3


async def test_metrics_include_counters_that_are_just_being_stored(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.operations.counters, "SHARDS", 1)
    with database.transaction():
        database.execute("""
            INSERT INTO metric_counters
            VALUES (0, 'responses', 'api/health', '200', 'infinity', 1, 0, current_date, 1, 0)
        """)
        # Its counters now wait for that row, after its response.
        await parley.get("/api/health")
        reading = asyncio.create_task(read(parley))
        await asyncio.sleep(0.3)

    metrics = await reading

    assert metrics[sample("responses_total", function="api/health", status="200")] == 2


async def test_requests_without_the_database_do_not_wake_it_for_counters(
    proxy: Proxy, parley: Parley
) -> None:
    for path in ("/api/health?live", "/api/tasks", PATH):
        await parley.client.get(path)

    assert proxy.connections == 0


async def test_counters_that_cannot_be_stored_are_kept_for_the_next_time(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.operations.counters, "STORE_SECONDS", 0.0)
    database.execute("ALTER TABLE metric_counters RENAME TO away")
    assert (await parley.get("/api/health")).status_code == 200
    await stored()
    database.execute("ALTER TABLE away RENAME TO metric_counters")

    metrics = await read(parley)

    named = {"function": "api/health", "statement": "list_migrations"}
    assert metrics[sample("statement_seconds_count", **named)] == 1


async def test_without_a_database_the_metrics_soon_say_that_it_is_down(
    switchboard: Switchboard, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.operations.metrics, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        environment["DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{port}/nothing"
        environment["DB_POOL_TIMEOUT"] = "1"
        async with running_product(switchboard, monkeypatch, environment) as parley:
            started = time.monotonic()

            metrics = await read(parley)

            assert time.monotonic() - started < 1
            assert metrics[sample("database_up")] == 0
            assert (await report(parley))["database_up"] is False


async def test_an_unknown_format_of_the_metrics_is_refused(parley: Parley) -> None:
    response = await parley.client.get(PATH, headers=READER, params={"format": "xml"})

    problem_of(response, 422, "invalid_request")


def counted(database: psycopg.Connection, statement: str) -> int:
    """Return the count of a statement in the table."""
    [(metrics,)] = database.execute(
        "SELECT coalesce(sum(count), 0)::int FROM metric_counters "
        "WHERE metric = 'statement_seconds' AND label = %s",
        [statement],
    ).fetchall()
    return metrics


async def stored() -> None:
    """Wait until the counters are stored, or storing has failed, after the response."""
    give_up_at = time.monotonic() + 5
    while not ((task := lib.operations.counters.storing()._task) and task.done()):
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


async def statistics_reported(database: psycopg.Connection) -> None:
    """Wait until the statistics of the product's own statements are in the database.

    A connection reports them at its end at the latest, and would else add them to the counts after
    a VACUUM.
    """
    await lib.database.client.database().close()
    others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    give_up_at = time.monotonic() + 30
    while database.execute(others, [database.info.backend_pid]).fetchone() is not None:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)
