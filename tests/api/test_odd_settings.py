"""Defaults of a database or a role that would change what statements mean: Parley's stay.

Directly and through PgBouncer in transaction mode, as Neon's pooled host is.
"""

import asyncio
import json
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lib.database.client import _execute
from tests.support.product import Parley, id_of, problem_of, running_product, text_of
from tests.support.proxy import proxied
from tests.support.serving import Switchboard

ODD = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "TimeZone": "Pacific/Kiritimati",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "extra_float_digits": "-5",
    "row_security": "off",
    "xmlbinary": "hex",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "statement_timeout": "20s",
    "application_name": "somebody",
    "lc_monetary": "C",
}


@pytest.fixture(params=["direct", "pooled"])
def url(request: pytest.FixtureRequest, database_url: str, pooled_database_url: str) -> str:
    """Return the URL of a database with odd defaults."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        for name, value in ODD.items():
            set_default(admin, name, value)
    return database_url if request.param == "direct" else pooled_database_url


def set_default(admin: psycopg.Connection, name: str, value: str) -> None:
    """Set a default of a database, for later sessions."""
    text = SQL("ALTER DATABASE {} SET {} TO {}")
    admin.execute(text.format(Identifier(admin.info.dbname), Identifier(name), value))


async def test_requests_do_not_depend_on_the_defaults_of_the_database(
    url: str,
    environment: dict[str, str],
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_product(switchboard, monkeypatch, environment | {"DATABASE_URL": url}) as it:
        said = text_of(await it.send("Grüße, Łódź 🎉 \\n", user="ann", chat_id=id_of(1)))
        history = await it.history(id_of(1), user="ann")
        found = await it.get("/api/conversations", user="ann", q="Łódź")
        exported = await it.get("/api/conversations", user="ann", export="true")
        usual = (await it.get("/api/health")).json()

    assert said == "Hello, how are you?"
    assert [each["content"] for each in history["messages"]] == ["Grüße, Łódź 🎉 \\n", said]
    assert all(each["created_at"].endswith(("Z", "+00:00")) for each in history["messages"])
    assert len(found.json()["conversations"]) == 1
    lines: list[dict[str, Any]] = [json.loads(line) for line in exported.text.splitlines()]
    assert lines[-1]["type"] == "end", lines[-1]
    assert usual["status"] == "ok"


async def test_unrelated_turns_do_not_fail_where_the_default_isolation_is_serializable(
    url: str,
    environment: dict[str, str],
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with (
        proxied(url) as (proxy, proxied_url),
        running_product(
            switchboard, monkeypatch, environment | {"DATABASE_URL": proxied_url}
        ) as parley,
    ):
        answers = await asyncio.gather(
            *(parley.say("Hello!", conversation_id=id_of(n), user=f"u{n}") for n in range(40))
        )
        proxy.forget()
        await parley.history(id_of(1), user="u1")
        round_trips = proxy.round_trips

    assert {answer.status_code for answer in answers} == {200}
    # Once known, the isolation costs no round trip more.
    assert round_trips == 1
    assert caplog.text.count("isolation_pinned") == 1


async def test_an_ordinary_404_leaves_no_warning_though_the_answer_comes_while_statements_are_sent(
    parley: Parley, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(connection: Any, call: Any) -> Any:
        cursor = await _execute(connection, call)
        # As on a busy machine: the first error arrives before the last statement is sent.
        await asyncio.sleep(0.02)
        return cursor

    caplog.set_level("INFO")
    monkeypatch.setattr("lib.database.client._execute", slow)
    mine, other = [(await parley.client.post("/api/conversations")).json() for _ in range(2)]
    for place in (mine, other):
        assert (await parley.say("Hello!", conversation_id=place["id"])).status_code == 200
    caplog.clear()

    for _ in range(5):
        missing = await parley.client.post(
            "/api/chat",
            json={"message": "Hello!", "conversation_id": mine["id"]},
            headers={"x-conversation-key": other["key"]},
        )
        problem_of(missing, 404, "not_found")

    assert "database_warning" not in caplog.text
    assert "PipelineAborted" not in caplog.text
