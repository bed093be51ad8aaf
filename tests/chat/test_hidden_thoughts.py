"""Thoughts that REASONING keeps from clients: stored for the export alone, or not at all."""

import json
from typing import Any

import psycopg
import psycopg.sql
import pytest

import lib.settings
from tests.support.left_behind import leave_behind
from tests.support.model_server import Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import Parley, parts_of, problem_of, text_of
from tests.support.reading import path_of, resuming, sending, until_stored

WHOLE = "Hello, how are you?"
# No other text of a test has it.
SECRET = "quagga"
TABLES = ("chat_messages", "conversations", "stream_batches", "finished_streams", "tool_runs")
VALUES = ("store", "hide")
STORE, HIDE = (pytest.mark.environment(REASONING=value) for value in VALUES)


def with_either(**environment: str) -> pytest.MarkDecorator:
    """Run a test with either value that keeps thoughts from clients."""
    marks = {each: pytest.mark.environment(REASONING=each, **environment) for each in VALUES}
    return pytest.mark.parametrize(
        "", [pytest.param(marks=mark, id=value) for value, mark in marks.items()]
    )


EITHER = with_either()


def thinking(*deltas: dict[str, Any], finish_reason: str = "stop", **reply: Any) -> Reply:
    """Return a reply that thinks in two pieces, and then sends some deltas."""
    thoughts = [chunk({"reasoning_content": text}) for text in ("A ", f"{SECRET}? ")]
    return Reply(chunks=[*thoughts, *map(chunk, deltas), chunk({}, finish_reason)], **reply)


def stored_steps(database: psycopg.Connection) -> list[list[dict[str, Any]]] | None:
    """Return the column `steps` of the first answer."""
    [(steps,)] = database.execute(
        "SELECT steps FROM chat_messages WHERE role = 'assistant' ORDER BY id LIMIT 1"
    ).fetchall()
    return steps


def everything_stored(database: psycopg.Connection) -> str:
    """Return all rows of all tables that an answer writes to, as text."""
    statement = psycopg.sql.SQL("SELECT to_json({0})::text FROM {0}")
    names = map(psycopg.sql.Identifier, TABLES)
    return json.dumps([database.execute(statement.format(name)).fetchall() for name in names])


def types_of(parts: list[dict[str, Any]]) -> list[str]:
    """Return the types of parts."""
    return [part["type"] for part in parts]


@EITHER
async def test_a_page_sees_no_thought_live_again_or_in_history(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [thinking({"content": "Hello."})]

    live = await parley.send("Hello!")
    again = await parley.send("Hello!")
    resumed = await parley.get(path_of())
    history = (await parley.history())["messages"][1]

    assert types_of(parts_of(live)) == [
        "start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish",
    ]  # fmt: skip
    assert live.text == resumed.text
    assert history["parts"] == [
        {"type": "step-start"},
        {"type": "text", "text": "Hello.", "state": "done"},
    ]
    assert SECRET not in live.text + again.text + resumed.text + json.dumps(history)


@EITHER
async def test_a_thought_between_two_texts_leaves_the_same_parts_in_the_stream_and_in_history(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [
        thinking({"content": "One."}, {"reasoning_content": "Hm."}, {"content": "Two."})
    ]

    parts = parts_of(await parley.send("Hello!"))

    texts = [part["text"] for part in (await parley.history())["messages"][1]["parts"][1:]]
    assert types_of(parts).count("text-start") == len(texts)
    assert "".join(texts) == "One.Two."


@STORE
async def test_a_thought_that_is_only_stored_is_in_the_export(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [thinking({"content": "Hello."})]
    await parley.send("Hello!", user="ann")

    export = await parley.get("/api/conversations", user="ann", export="true")

    lines = [json.loads(line) for line in export.text.splitlines()]
    [answer] = [line for line in lines if line.get("role") == "assistant"]
    assert answer["steps"] == [
        [{"type": "reasoning", "text": f"A {SECRET}? "}, {"type": "text", "chars": 6}]
    ]
    assert answer["content"] == "Hello."


@HIDE
async def test_a_hidden_thought_is_stored_nowhere_in_clear(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model.replies = [thinking({"content": "Hello"}, hangs_after=2)]
    reading = sending(parley.client, user="ann")
    await until_stored(database, "Hello")
    assert SECRET not in everything_stored(database)
    await reading.leave()
    leave_behind(database)

    await parley.send("Hello!", user="ann")

    assert SECRET not in everything_stored(database)
    assert SECRET not in caplog.text


@EITHER
async def test_a_provider_gets_back_a_thought_that_no_client_sees(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [thinking({"content": "Hello."}), Reply()]
    await parley.send("Hello!")

    await parley.send("And now?", message_id="message-2")

    assert model.requests[-1]["messages"][2] == {
        "role": "assistant",
        "content": "Hello.",
        "reasoning_content": f"A {SECRET}? ",
    }
    assert (SECRET in everything_stored(database)) == (stored_steps(database) is not None)


@EITHER
async def test_a_failure_while_the_model_only_thinks_is_a_problem_of_its_own(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(chunks=[*thinking().chunks[:2], {"error": {"message": "no"}}])]  # pyright: ignore[reportOptionalSubscript]

    problem_of(await parley.send("Hello!"), 502, "model_failed")

    assert await parley.said() == ["Hello!"]
    assert text_of(await parley.send("Hello!")) == WHOLE


@EITHER
async def test_a_failure_in_a_later_thought_leaves_the_same_steps_in_the_stream_and_in_history(
    parley: Parley, model: ScriptedModel
) -> None:
    fails = Reply(chunks=[*thinking().chunks[:2], {"error": {"message": "no"}}])  # pyright: ignore[reportOptionalSubscript]
    model.replies = [calling(Called("list_tasks")), fails]

    parts = parts_of(await parley.send("Hello!", user="ann"))

    answer = (await parley.history(user="ann"))["messages"][1]
    assert types_of(parts).count("start-step") == 1
    assert types_of(answer["parts"]) == ["step-start", "tool-list_tasks"]
    assert answer["finish_reason"] == "error"


@with_either(MAX_DURATION_SECONDS="5")
async def test_an_answer_that_is_cut_while_the_model_only_thinks_is_a_step_without_parts(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [thinking(hangs_after=1)]

    parts = parts_of(await parley.send("Hello!"))

    assert types_of(parts) == ["start", "start-step", "finish-step", "finish"]
    assert parts[-1]["finishReason"] == "length"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("", "timeout")
    assert answer["parts"] == [{"type": "step-start"}]
    assert stored_steps(database) in ([[]], [[{"type": "reasoning", "text": f"A {SECRET}? "}]])


@EITHER
async def test_an_answer_of_thought_alone_that_came_to_its_limit_is_cut_short(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [thinking(finish_reason="length")]

    parts = parts_of(await parley.send("Hello!"))

    assert types_of(parts) == ["start", "start-step", "finish-step", "finish"]
    assert parts[-1]["finishReason"] == "length"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("", "length")


@EITHER
async def test_a_killed_function_leaves_an_answer_without_its_thought(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [thinking({"content": "Hello"}, hangs_after=2)]
    reading = sending(parley.client)
    await until_stored(database, "Hello")
    leave_behind(database)
    await reading.leave()

    parts = parts_of(await resuming(parley.client).end())

    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello", "interrupted")
    assert SECRET not in json.dumps(parts) + json.dumps(answer)


async def test_a_thought_that_was_shown_is_hidden_once_the_setting_says_so(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.replies = [thinking({"content": "Hello."})]
    assert SECRET in (await parley.send("Hello!")).text

    monkeypatch.setenv("REASONING", "store")
    lib.settings.settings.cache_clear()

    assert SECRET not in json.dumps(await parley.history())
    assert SECRET not in (await parley.send("Hello!")).text


@HIDE
async def test_a_complete_answer_with_a_hidden_thought_has_it_in_no_table(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [thinking({"content": "Hello."})]

    await parley.send("Hello!")

    assert stored_steps(database) is None
    assert SECRET not in everything_stored(database)
