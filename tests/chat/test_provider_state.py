"""A provider's state goes back to the model that it came from, to no other, and to no client."""

from typing import Any

import psycopg
import pytest

import lib.settings
from tests.chat.test_tools import check_provider_form
from tests.support.left_behind import leave_behind
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, headers_of
from tests.support.reading import sending, until_stored

# LiteLLM's proxy puts a signature into the id of a call.
SIGNED_ID = "call_" + "s" * 200
MILK = Called("add_task", {"title": "Buy milk"}, SIGNED_ID)
DONE = Reply(pieces=("Done",))


def calls_in(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all tool calls that a request tells of."""
    messages = check_provider_form(request)
    return [call for message in messages for call in message.get("tool_calls", [])]


def ids_in(request: dict[str, Any]) -> list[str]:
    """Return the ids of all tool calls that a request tells of."""
    return [call["id"] for call in calls_in(request)]


def configure(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """Change a variable of the running product, as a deployment does."""
    monkeypatch.setenv(variable, value)
    lib.settings.settings.cache_clear()


async def test_the_same_model_gets_its_own_id_of_a_call_back_in_the_next_turn(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK), DONE]
    await parley.send("Add milk", user="ann")

    await parley.send("And now?", message_id="message-2", user="ann")

    assert ids_in(model.requests[-1]) == [SIGNED_ID]


@pytest.mark.parametrize("steps", [1, 2])
async def test_each_step_gets_the_state_of_its_own_calls_back(
    parley: Parley, model: ScriptedModel, steps: int
) -> None:
    ids = [[f"{SIGNED_ID}_{step}_{call}" for call in range(2)] for step in range(steps)]
    model.replies = [
        calling(*(Called("list_tasks", {}, id=each) for each in step), text="Let me see.")
        for step in ids
    ]
    await parley.send("Look", user="ann")

    await parley.send("And now?", message_id="message-2", user="ann")

    told = [call_id for step in ids for call_id in step]
    assert ids_in(model.requests[-1]) == told
    assert ids_in(model.requests[-2]) == told


async def test_another_model_gets_ids_that_every_provider_takes(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.replies = [calling(MILK), DONE]
    await parley.send("Add milk", user="ann")
    configure(monkeypatch, "OPENAI_MODEL", "another-model")

    await parley.send("And now?", message_id="message-2", user="ann")

    [portable] = ids_in(model.requests[-1])
    assert len(portable) == 9
    assert portable.isalnum()


async def test_a_model_gets_its_state_back_when_another_one_has_answered_in_between(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.replies = [calling(MILK), DONE]
    await parley.send("Add milk", user="ann")
    configure(monkeypatch, "OPENAI_MODEL", "another-model")
    await parley.send("And now?", message_id="message-2", user="ann")
    configure(monkeypatch, "OPENAI_MODEL", "test-model")

    await parley.send("Still there?", message_id="message-3", user="ann")

    assert ids_in(model.requests[-1]) == [SIGNED_ID]


async def test_the_same_model_of_another_provider_gets_ids_that_every_provider_takes(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), DONE]
    await parley.send("Add milk", user="ann")
    database.execute(
        """
        UPDATE chat_messages
        SET provider_state = replace(provider_state::text, %s, 'https://other.example/v1')::json
        """,
        [model.base_url],
    )

    await parley.send("And now?", message_id="message-2", user="ann")

    assert [len(call_id) for call_id in ids_in(model.requests[-1])] == [9]


async def test_the_answer_of_a_killed_function_has_no_state(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), Reply(hangs_after=2)]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database)

    await parley.send("And now?", message_id="message-2", user="ann")

    assert [len(call_id) for call_id in ids_in(model.requests[-1])] == [9]


async def test_no_client_sees_a_providers_state_but_the_export_of_the_user_has_it(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK), DONE]
    response = await parley.send("Add milk", user="ann")
    history = await parley.history(user="ann")
    replay = await parley.send("Add milk", user="ann")
    found = await parley.client.get("/api/conversations?export=true", headers=headers_of("ann"))

    for shown in (response.text, str(history), replay.text):
        assert "provider_state" not in shown
        assert SIGNED_ID not in shown
    assert SIGNED_ID in found.text


async def test_an_answer_without_state_stores_none(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")

    assert database.execute(
        "SELECT provider_state FROM chat_messages WHERE role = 'assistant'"
    ).fetchall() == [(None,)]
