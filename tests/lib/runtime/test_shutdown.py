"""The end of a process: the order of its stages, and the cost of a failure."""

import logging

import psycopg
import pytest

import lib.runtime.shutdown
from lib.database.client import database as product_database
from lib.runtime.shutdown import Stage, at_end, end_work, shut_down
from tests.support.logs import events_of
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, METRICS_TOKEN, Parley, sdk_body


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names that have ended; the stages are registered in reverse order."""
    names: list[str] = []

    def register(stage: Stage, name: str) -> None:
        async def end() -> None:
            names.append(name)
            if name == "broken":
                raise ConnectionError

        at_end(stage, end)

    monkeypatch.setattr(
        lib.runtime.shutdown, "_ends", {"work": [], "counters": [], "connections": []}
    )
    register("connections", "database")
    register("counters", "counters")
    register("work", "broken")
    register("work", "answers")
    return names


async def test_a_process_ends_its_work_then_stores_counters_then_closes_connections(
    ended: list[str],
) -> None:
    await shut_down()

    assert ended == ["broken", "answers", "counters", "database"]


async def test_work_can_end_while_the_connections_stay_open(ended: list[str]) -> None:
    await end_work()

    assert ended == ["broken", "answers"]


async def test_an_end_that_fails_is_logged_and_keeps_no_other_from_ending(
    ended: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")

    await shut_down()

    assert len(ended) == 4
    [line] = events_of(caplog)
    assert line["event"] == "unexpected_error"
    assert "ConnectionError" in line["traceback"]


@pytest.mark.environment(METRICS_TOKEN=METRICS_TOKEN)
async def test_a_running_answer_is_stored_and_counted_before_the_database_closes(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(pieces=("Hello", ", how"), hangs_after=1)]
    body = sdk_body("Hello!")
    async with parley.client.stream("POST", "/api/chat", json=body) as response:
        async for line in response.aiter_lines():
            if '"text-delta"' in line:
                break

        await shut_down()

    stored = database.execute(
        "SELECT content, finish_reason FROM chat_messages WHERE role = 'assistant'"
    ).fetchall()
    assert stored == [("Hello", "interrupted")]
    counted = database.execute(
        "SELECT label, count FROM metric_counters WHERE label = 'finish_turn'"
    ).fetchall()
    assert counted == [("finish_turn", 1)]
    # No step came after the close, which would have opened another pool.
    assert product_database()._connections._pool is None
    assert (await parley.history(CHAT_ID))["messages"][-1]["content"] == "Hello"
