"""Thoughts: shown, stored, no part of the text; and answers in which the model has only thought."""

import json
from typing import Any

import psycopg
import pytest

from lib.runtime.counting import MODEL_WAITS, counters
from tests.chat.test_provider_state import configure
from tests.support.model_server import (
    ANALYSIS_MODEL,
    MODEL_NAME,
    Called,
    Reply,
    ScriptedModel,
    calling,
    chunk,
)
from tests.support.product import CHAT_ID, Parley, parts_of, text_of
from tests.support.reading import path_of, sending, until

WHOLE = "Hello, how are you?"
VALUES = ("show", "store", "hide")


def thought(text: str) -> dict[str, Any]:
    """Return a chunk with a piece of a thought."""
    choice = {"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}
    return {"model": MODEL_NAME, "choices": [choice]}


ONLY_THINKS = Reply(chunks=[thought("First, "), thought("let me see.")], hangs_after=1)


async def thinking() -> None:
    """Wait until a thought has come."""

    def has_come() -> bool:
        cells = counters().take()
        counters().put_back(cells)
        return any(name == MODEL_WAITS.name for name, *_ in cells)

    await until(has_come)


def stored_steps(database: psycopg.Connection) -> list[list[dict[str, Any]]] | None:
    """Return the column `steps` of the only answer."""
    [(steps,)] = database.execute(
        "SELECT steps FROM chat_messages WHERE role = 'assistant'"
    ).fetchall()
    return steps


@pytest.mark.environment(MAX_DURATION_SECONDS="5")
async def test_an_answer_cut_at_the_deadline_while_the_model_thinks_is_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [ONLY_THINKS]

    parts = parts_of(await parley.send("Hello!"))

    assert [part["type"] for part in parts] == [
        "start", "start-step",
        "reasoning-start", "reasoning-delta", "reasoning-delta", "reasoning-end",
        "finish-step", "finish",
    ]  # fmt: skip
    assert parts[-1]["finishReason"] == "length"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("", "timeout")
    # As useChat has it from the stream.
    assert answer["parts"] == [
        {"type": "step-start"},
        {"type": "reasoning", "id": "0", "text": "First, let me see.", "state": "done"},
    ]
    assert stored_steps(database) == [[{"type": "reasoning", "text": "First, let me see."}]]


@pytest.mark.environment(MAX_DURATION_SECONDS="5")
async def test_a_client_that_waits_for_json_gets_the_answer_that_was_cut_while_the_model_thinks(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [ONLY_THINKS]

    response = await parley.say("Hello!", conversation_id=CHAT_ID)

    assert response.status_code == 200
    assert (response.json()["message"]["content"], response.json()["finish_reason"]) == (
        "", "length",
    )  # fmt: skip


@pytest.mark.environment(MAX_DURATION_SECONDS="5")
async def test_an_incomplete_thought_is_told_to_no_model_and_the_conversation_goes_on(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [ONLY_THINKS]
    await parley.send("Hello!")

    response = await parley.send("And now?", message_id="message-2")

    assert text_of(response) == WHOLE
    [_, question] = model.requests[-1]["messages"]
    assert question == {"role": "user", "content": "Hello!\n\nAnd now?"}


async def test_an_answer_that_is_stopped_while_the_model_thinks_is_stored_as_stopped(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [ONLY_THINKS]
    first = sending(parley.client)
    await thinking()

    await parley.client.delete(path_of())

    assert [part["type"] for part in parts_of(await first.end())][-1] == "abort"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("", "aborted")
    assert stored_steps(database) is not None


async def test_an_answer_that_was_stopped_while_the_model_thinks_can_be_regenerated(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [ONLY_THINKS]
    first = sending(parley.client)
    await thinking()
    await parley.client.delete(path_of())
    await first.end()

    response = await parley.send("Hello!", trigger="regenerate-message")

    assert text_of(response) == WHOLE
    assert await parley.said() == ["Hello!", WHOLE]


async def test_a_model_that_fails_while_it_thinks_stores_no_answer_and_is_asked_again(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(chunks=[thought("First, "), {"error": {"message": "no"}}])]

    parts = parts_of(await parley.send("Hello!"))

    assert [part["type"] for part in parts[-2:]] == ["reasoning-end", "error"]
    assert await parley.said() == ["Hello!"]
    assert text_of(await parley.send("Hello!")) == WHOLE


async def test_an_answer_of_thought_alone_that_came_to_its_limit_is_an_answer_cut_short(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(chunks=[thought("First, "), chunk({}, "length")])]

    parts = parts_of(await parley.send("Hello!"))

    assert [part["type"] for part in parts] == [
        "start", "start-step",
        "reasoning-start", "reasoning-delta", "reasoning-end",
        "finish-step", "finish",
    ]  # fmt: skip
    assert parts[-1]["finishReason"] == "length"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("", "length")
    assert answer["parts"][1:] == [
        {"type": "reasoning", "id": "0", "text": "First, ", "state": "done"}
    ]


async def test_an_answer_of_thought_alone_that_ended_well_is_said_as_text_too(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(chunks=[thought("Yes."), chunk({}, "stop")])]

    assert text_of(await parley.send("Hello!")) == "Yes."

    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("Yes.", "stop")
    assert [part["type"] for part in answer["parts"]] == ["step-start", "reasoning", "text"]


@pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)
async def test_a_thought_is_neither_found_by_search_nor_told_to_the_models_that_come_later(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = Reply(pieces=("A greeting",))
    # In the text, so no field wants it back.
    model.replies = [Reply(pieces=("<think>Zebras?</think>", "Hello."))]
    await parley.send("Hello!", user="ann")

    await parley.send("And now?", message_id="message-2", user="ann")

    found = await parley.get("/api/conversations", user="ann", q="zebras")
    assert found.json()["conversations"] == []
    shown = (await parley.history(user="ann"))["messages"][1]
    assert shown["parts"][1] == {"type": "reasoning", "id": "0", "text": "Zebras?", "state": "done"}
    assert (len(model.title_requests), len(model.analysis_requests)) == (1, 2)
    told = json.dumps([model.requests[1:], model.title_requests, model.analysis_requests])
    assert "Hello." in told
    assert "Zebras" not in told


async def test_thoughts_are_not_part_of_the_text(parley: Parley, model: ScriptedModel) -> None:
    said = {"index": 0, "delta": {"content": "Hello."}, "finish_reason": "stop"}
    model.replies = [Reply(chunks=[thought("Hm."), {"model": MODEL_NAME, "choices": [said]}])]

    assert text_of(await parley.send("Hello!")) == "Hello."
    assert await parley.said() == ["Hello!", "Hello."]


@pytest.mark.parametrize("reasoning", VALUES)
async def test_the_metadata_of_an_answer_has_the_tokens_and_the_seconds_of_its_thoughts(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, reasoning: str
) -> None:
    configure(monkeypatch, "REASONING", reasoning)
    details = {"reasoning_tokens": 30}
    usage = {"prompt_tokens": 7, "completion_tokens": 34, "completion_tokens_details": details}
    chunks = [thought("A"), thought("B"), chunk({"content": "Hi."}, "stop"), chunk(None)]
    chunks[-1]["usage"] = usage
    model.replies = [Reply(chunks=chunks, seconds_between=0.2)]

    metadata = parts_of(await parley.send("Hello!"))[-1]["messageMetadata"]

    assert metadata["reasoning_tokens"] == 30
    # Two pauses of 0.2 seconds: from the first piece of the thought to the text.
    assert 0.3 <= metadata["reasoning_seconds"] < 20
    answer = (await parley.history())["messages"][1]
    assert answer["metadata"] == metadata
    assert answer["reasoning_tokens"] == 30
    assert answer["reasoning_seconds"] == metadata["reasoning_seconds"]


async def test_tokens_and_seconds_of_thoughts_add_up_over_the_steps_of_an_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    def reply(*chunks: dict[str, Any], tokens: int) -> Reply:
        details = {"reasoning_tokens": tokens}
        end = chunk(None) | {"usage": {"completion_tokens_details": details}}
        return Reply(chunks=[thought("Hm."), *chunks, end], seconds_between=0.2)

    calls = calling(Called("list_tasks")).chunks or []
    model.replies = [reply(*calls[:3], tokens=5), reply(chunk({"content": "A"}, "stop"), tokens=6)]

    metadata = parts_of(await parley.send("Hello!", user="ann"))[-1]["messageMetadata"]

    assert metadata["reasoning_tokens"] == 11
    assert 0.3 <= metadata["reasoning_seconds"] < 20


async def test_a_model_that_does_not_think_has_no_tokens_and_no_seconds_of_thoughts(
    parley: Parley,
) -> None:
    metadata = parts_of(await parley.send("Hello!"))[-1]["messageMetadata"]

    assert (metadata["reasoning_tokens"], metadata["reasoning_seconds"]) == (None, None)
