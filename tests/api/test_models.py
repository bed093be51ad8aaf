"""MODELS and GET /api/models: which model answers, who may choose it, which stands in for it."""

import json
from typing import Any

import psycopg
import pytest

from lib.settings import settings
from tests.support.documents import PDF, sent_file
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import (
    CHAT_ID,
    Parley,
    headers_of,
    parts_of,
    problem_of,
    rows_stored,
    sdk_body,
)

PRO = {"plan": "pro"}
MODELS = json.dumps(
    [
        {"name": "Fast", "model": "fast-1", "default": True, "files": [], "stand_in": "Spare"},
        {
            "name": "Deep",
            "model": "deep-1",
            "for": {"claim": "plan", "is": ["pro"]},
            "reasoning_effort": "low",
            "reasoning_efforts": ["low", "high"],
            "messages_per_day": 1,
            "prices": {"input": 1, "output": 8},
        },
        {"name": "Spare", "model": "spare-1", "for": "users", "tools": False},
    ]
)
pytestmark = pytest.mark.environment(MODELS=MODELS)
BUSY = Reply(status=529)
LATER = {"message_id": "message-2"}


async def post(
    parley: Parley, text: str = "Hello!", *, message_id: str = "message-1", **body: object
) -> Any:
    """Send a message of a user with the plan `pro`."""
    content = sdk_body(text, chat_id=CHAT_ID, message_id=message_id) | body
    headers = headers_of("ann", **PRO)
    return await parley.client.post("/api/chat", json=content, headers=headers)


def asked(model: ScriptedModel) -> list[str]:
    """Return the providers' names of the models that were asked."""
    return [body["model"] for body in model.requests]


def spoken(parts: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Return the model that answered, and the one that was asked for instead."""
    metadata = parts[-1]["messageMetadata"]
    return metadata["model"], metadata["requested_model"]


@pytest.mark.parametrize(
    ("claims", "names"),
    [(None, ["Fast"]), ({}, ["Fast", "Spare"]), (PRO, ["Fast", "Deep", "Spare"])],
    ids=["guest", "user", "pro"],
)
async def test_the_list_has_the_models_of_the_caller_alone(
    parley: Parley, claims: dict[str, str] | None, names: list[str]
) -> None:
    headers = {} if claims is None else headers_of("ann", **claims)

    response = await parley.client.get("/api/models", headers=headers)

    models = response.json()["models"]
    assert [model["name"] for model in models] == names
    assert models[0] == {
        "name": "Fast", "is_default": True, "tools": True, "files": [], "reasoning": True,
        "web_search": False, "reasoning_effort": None, "reasoning_efforts": [],
        "messages_per_day": 0, "prices": None, "stand_in": "Spare",
    }  # fmt: skip


async def test_the_chosen_model_answers_and_the_conversation_keeps_it(
    parley: Parley, model: ScriptedModel
) -> None:
    first = await post(parley)
    second = await post(parley, "And you?", **LATER, model="Deep", reasoning_effort="high")

    assert [spoken(parts_of(each)) for each in (first, second)] == [("Fast", None), ("Deep", None)]
    assert asked(model) == ["fast-1", "deep-1"]
    assert [body.get("reasoning_effort") for body in model.requests] == [None, "high"]
    history = await parley.client.get(
        "/api/history", params={"conversation_id": CHAT_ID}, headers=headers_of("ann", **PRO)
    )
    assert history.json()["conversation"]["model"] == "Deep"
    assert [each["model"] for each in history.json()["messages"]] == [None, "Fast", None, "Deep"]


async def test_a_conversation_goes_on_with_its_model_while_the_caller_may_use_it(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!", user="ann", model="Spare")
    await parley.send("And you?", user="ann", message_id="message-2")
    other = {"chat_id": "another conversation", "user": "bob"}
    headers = headers_of("bob", **PRO)
    content = sdk_body("Hello!", chat_id=other["chat_id"], message_id="message-1")
    await parley.client.post("/api/chat", json=content | {"model": "Deep"}, headers=headers)

    # Without the plan, the default one answers.
    await parley.send("And you?", message_id="message-2", **other)

    assert asked(model) == ["spare-1", "spare-1", "deep-1", "fast-1"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"model": "Nobody"}, "model", "must be one of Fast, Deep, Spare"),
        ({"model": "Fast", "reasoning_effort": "high"}, "reasoning_effort", "no choice"),
        ({"model": "Deep", "reasoning_effort": "most"}, "reasoning_effort", "one of low, high"),
        ({"model": "Spare", "tool_choice": "list_tasks"}, "tool_choice", "Spare calls no tools"),
    ],
)
async def test_a_model_or_an_effort_that_cannot_be_had_is_refused_and_nothing_is_stored(
    parley: Parley, database: psycopg.Connection, body: dict[str, str], field: str, words: str
) -> None:
    problem = problem_of(await post(parley, **body), 422, "invalid_request")

    [error] = problem["errors"]
    assert error["field"] == field
    assert words in error["detail"]
    assert rows_stored(database) == 0


async def test_a_model_of_others_is_refused_as_one_that_there_is_not(parley: Parley) -> None:
    of_user = await parley.send("Hello!", user="ann", model="Deep")
    of_guest = await parley.send("Hello!", model="Spare")

    errors = [problem_of(each, 422, "invalid_request")["errors"] for each in (of_user, of_guest)]
    assert [error["detail"] for [error] in errors] == [
        "must be one of Fast, Spare",
        "must be one of Fast",
    ]


async def test_a_file_goes_to_a_model_that_reads_it_or_is_refused_before_it_is_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    text = sdk_body("Look.", chat_id=CHAT_ID, message_id="message-1")["messages"][0]
    message = text | {"parts": [*text["parts"], sent_file("a.pdf", PDF, "application/pdf")]}

    refused = await post(parley, messages=[message], model="Fast")
    problem = problem_of(refused, 422, "invalid_request")
    assert "Fast reads no PDF" in problem["errors"][0]["detail"]
    assert rows_stored(database) == 0

    # The default one reads none.
    assert spoken(parts_of(await post(parley, messages=[message]))) == ("Deep", None)
    assert asked(model) == ["deep-1"]


async def test_another_model_stands_in_before_the_first_byte_and_the_next_turn_asks_the_first(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [BUSY]
    first = parts_of(await post(parley))
    second = parts_of(await post(parley, "And you?", **LATER))

    assert asked(model) == ["fast-1", "spare-1", "fast-1"]
    assert [spoken(parts) for parts in (first, second)] == [("Spare", "Fast"), ("Fast", None)]


@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_model_stands_in_for_one_whose_provider_is_busy_or_fails(
    parley: Parley, model: ScriptedModel, status: int
) -> None:
    model.replies = [Reply(status=status)]

    assert spoken(parts_of(await post(parley))) == ("Spare", "Fast")
    assert asked(model) == ["fast-1", "spare-1"]


@pytest.mark.environment(
    MODELS=json.dumps(
        [
            {
                "name": "Gone",
                "base_url": "http://127.0.0.1:1/v1",
                "api_key": "GONE_KEY",
                "stand_in": "Spare",
            },
            {"name": "Spare", "model": "spare-1"},
        ]
    ),
    GONE_KEY="sk-gone",
)
async def test_a_model_stands_in_for_one_whose_provider_cannot_be_reached(
    parley: Parley, model: ScriptedModel
) -> None:
    assert spoken(parts_of(await post(parley))) == ("Spare", "Gone")
    assert asked(model) == ["spare-1"]


@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_model_without_a_stand_in_fails_as_before(
    parley: Parley, model: ScriptedModel, status: int
) -> None:
    model.replies = [Reply(status=status)]

    response = await post(parley, model="Deep")

    assert response.status_code in {502, 503}
    assert asked(model) == ["deep-1"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "The message was refused.", "code": "content_filter"}),
        (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    ],
)
async def test_no_model_stands_in_after_a_refusal(
    parley: Parley, model: ScriptedModel, status: int, error: dict[str, str]
) -> None:
    model.replies = [Reply(status=status, error={"error": error})]

    response = await post(parley)

    assert response.status_code >= 400 or parts_of(response)[-1]["type"] == "error"
    assert set(asked(model)) == {"fast-1"}


async def test_no_model_stands_in_for_one_that_has_begun(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=("Hello", " there"), cuts_after=1)]

    await post(parley)

    assert asked(model) == ["fast-1"]


async def test_a_models_day_ends_for_this_model_alone_and_the_refusal_names_it(
    parley: Parley, database: psycopg.Connection
) -> None:
    assert (await post(parley, model="Deep")).status_code == 200
    left = rows_stored(database)

    # The conversation's model.
    refused = await post(parley, "More", **LATER)

    problem = problem_of(refused, 429, "quota_exceeded")
    assert "your limit of messages to the model Deep" in problem["detail"]
    assert "hoose another model" in problem["detail"]
    assert rows_stored(database) == left
    other = await post(parley, "More", **LATER, model="Fast")
    assert spoken(parts_of(other)) == ("Fast", None)


async def test_a_model_without_tools_is_offered_none(parley: Parley, model: ScriptedModel) -> None:
    model.replies = [calling(Called("add_task", {"title": "Milk"})), Reply()]
    await post(parley, "Remember milk", model="Fast")
    await post(parley, "And you?", **LATER, model="Spare")

    with_tools, after, without = model.requests
    assert with_tools["tools"] == after["tools"]
    assert "tools" not in without


async def test_a_guest_whom_no_model_serves_is_asked_to_sign_in(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS", json.dumps([{"name": "Fast", "for": "users"}]))
    settings.cache_clear()

    response = await parley.send("Hello!")

    problem_of(response, 401, "unauthenticated")
    assert rows_stored(database) == 0
    assert (await parley.get("/api/models")).json() == {"models": []}
