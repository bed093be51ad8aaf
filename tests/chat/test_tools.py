"""Tools in a turn: called, run in the caller's name, sent to the model, shown on the page."""

import json
from typing import Any

import psycopg
import pytest

from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of, rows_stored, text_of

MILK = Called("add_task", {"title": "Buy milk"}, "call_milk")
BREAD = Called("add_task", {"title": "Buy bread", "description": "Rye"}, "call_bread")
DONE = Reply(pieces=("Done",))


def tasks(database: psycopg.Connection) -> list[tuple[str, str]]:
    """Return the owner and title of each task."""
    return database.execute("SELECT user_id, title FROM tasks ORDER BY id").fetchall()


def types_of(parts: list[dict[str, Any]]) -> list[str]:
    """Return the types of a stream's parts, each run of deltas as one."""
    types: list[str] = []
    for part in parts:
        if not (part["type"].endswith("-delta") and types[-1:] == [part["type"]]):
            types.append(part["type"])
    return types


def check_provider_form(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the provider's form: the results follow their calls, with matching ids."""
    messages: list[dict[str, Any]] = request["messages"]
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
            assert isinstance(message["content"], str)
            continue
        assert waiting == []
        for call in message.get("tool_calls", []):
            assert call["type"] == "function"
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            waiting.append(call["id"])
    assert waiting == []
    return messages


async def test_two_tool_calls_in_one_step_are_run_and_the_model_gets_their_results(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, BREAD, text="Let me see."), DONE]

    response = await parley.send("Add milk and bread", user="ann")

    parts = parts_of(response)
    assert types_of(parts) == [
        "start",
        "start-step", "text-start", "text-delta", "text-end",
        "tool-input-start", "tool-input-delta", "tool-input-start", "tool-input-delta",
        "tool-input-available", "tool-input-available",
        "tool-output-available", "tool-output-available", "finish-step",
        "start-step", "text-start", "text-delta", "text-end", "finish-step",
        "finish",
    ]  # fmt: skip
    assert tasks(database) == [("ann", "Buy milk"), ("ann", "Buy bread")]
    *_, called, milk, bread = check_provider_form(model.requests[1])
    assert called["content"] == "Let me see."
    assert [call["id"] for call in called["tool_calls"]] == ["call_milk", "call_bread"]
    assert json.loads(milk["content"])["title"] == "Buy milk"
    assert json.loads(bread["content"])["description"] == "Rye"


async def test_history_shows_the_same_tool_calls_as_the_stream(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK, text="Let me see."), DONE]
    streamed = parts_of(await parley.send("Add milk", user="ann"))

    answer = (await parley.history(user="ann"))["messages"][1]

    output = next(part["output"] for part in streamed if part["type"] == "tool-output-available")
    tool = {"type": "tool-add_task", "toolCallId": "call_milk", "state": "output-available"}
    assert answer["parts"] == [
        {"type": "step-start"},
        {"type": "text", "text": "Let me see.", "state": "done"},
        tool | {"input": {"title": "Buy milk"}, "output": output},
        {"type": "step-start"},
        {"type": "text", "text": "Done", "state": "done"},
    ]
    assert answer["content"] == "Let me see.\n\nDone"
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (14, 3)


async def test_a_replayed_answer_streams_the_same_tool_calls(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK), DONE]
    first = parts_of(await parley.send("Add milk", user="ann"))

    again = parts_of(await parley.send("Add milk", user="ann"))

    def told(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [part for part in parts if part["type"].startswith(("tool-output", "tool-input-a"))]

    assert told(again) == told(first)
    assert text_of(await parley.send("Add milk", user="ann")) == "Done"
    assert len(model.requests) == 2


async def test_later_turns_send_earlier_tool_calls_in_the_providers_form(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(MILK, BREAD), DONE]
    await parley.send("Add milk and bread", user="ann")

    await parley.send("Thanks", message_id="message-2", user="ann")

    roles = [message["role"] for message in check_provider_form(model.requests[2])]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (Called("add_task", {"title": ""}), "title"),
        (Called("add_task", {}), "title: Field required"),
        (Called("add_task", '{"title": "Buy'), "not a JSON object"),
        (Called("add_task", '["Buy milk"]'), "not a JSON object"),
        (Called("add_task", '{"title": NaN}'), "not a JSON object"),
        (Called("rm_rf", {"path": "/"}), "There is no tool rm_rf"),
        (Called("complete_task", {"id": 4711}), "There is no such task"),
        (Called("update_task", {"id": 1}), "Give a title"),
    ],
)
async def test_the_model_reads_why_a_call_was_not_run_and_goes_on(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    called: Called,
    told: str,
) -> None:
    model.replies = [calling(called), Reply(pieces=("Sorry",))]

    parts = parts_of(await parley.send("Do it", user="ann"))

    [error] = [part for part in parts if part["type"] == "tool-output-error"]
    assert told in error["errorText"]
    assert parts[-1]["finishReason"] == "stop"
    *_, result = check_provider_form(model.requests[1])
    assert told in json.loads(result["content"])["error"]
    [shown] = [
        part
        for part in (await parley.history(user="ann"))["messages"][1]["parts"]
        if part["type"].startswith("tool-")
    ]
    assert shown["state"] == "output-error"
    assert "output" not in shown
    assert tasks(database) == []


async def test_a_task_is_stored_without_characters_that_postgres_cannot_store(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    odd = Called("add_task", '{"title": "Buy\\u0000 milk\\ud800"}')
    model.replies = [calling(odd), DONE]

    parts_of(await parley.send("Add it", user="ann"))

    assert tasks(database) == [("ann", "Buy milk\ufffd")]


async def test_the_last_step_must_be_an_answer(parley: Parley, model: ScriptedModel) -> None:
    model.default = calling(Called("list_tasks"))

    parts = parts_of(await parley.send("List them for ever", user="ann"))

    assert [request.get("tool_choice") for request in model.requests] == [None] * 4 + ["none"]
    assert parts[-1]["finishReason"] == "tool-calls"
    assert "as many steps" in parts[-3]["errorText"]
    answer = (await parley.history(user="ann"))["messages"][1]
    assert answer["finish_reason"] == "tool_calls"
    model.default = DONE
    await parley.send("And now?", message_id="message-2", user="ann")
    check_provider_form(model.requests[-1])


@pytest.mark.environment(MAX_TOOL_STEPS="1")
async def test_with_one_step_no_tool_is_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK)]

    parts_of(await parley.send("Add milk", user="ann"))

    assert tasks(database) == []


async def test_missing_or_repeated_ids_of_tool_calls_are_replaced(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    twice = Called("add_task", {"title": "One"}, "same")
    model.replies = [
        calling(twice, Called("add_task", {"title": "Two"}, "same"), Called("list_tasks", {}, "")),
        calling(Called("add_task", {"title": "Three"}, "same")),
        DONE,
    ]

    parts = parts_of(await parley.send("Add them", user="ann"))

    ids = [part["toolCallId"] for part in parts if part["type"] == "tool-input-available"]
    assert len({*ids}) == 4
    assert all(ids)
    check_provider_form(model.requests[2])
    assert len(tasks(database)) == 3


async def test_tools_work_on_the_tasks_of_their_user_alone(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), DONE]
    await parley.send("Add milk", user="ann")
    [(task_id,)] = database.execute("SELECT id FROM tasks").fetchall()

    model.replies = [
        calling(
            Called("list_tasks", {}, "1"),
            Called("delete_task", {"id": task_id}, "2"),
            Called("update_task", {"id": task_id, "title": "Mine"}, "3"),
        ),
        DONE,
    ]
    await parley.send("Take them", user="eve")

    *_, listed, deleted, updated = check_provider_form(model.requests[3])
    assert listed["content"] == "[]"
    assert "no such task" in deleted["content"]
    assert "no such task" in updated["content"]
    assert tasks(database) == [("ann", "Buy milk")]


async def test_an_anonymous_caller_has_no_tools(parley: Parley, model: ScriptedModel) -> None:
    await parley.send("Hello!")

    assert "tools" not in model.requests[0]
    refused = await parley.say("Add milk", tool_choice="add_task", conversation_id=CHAT_ID)
    problem_of(refused, 401, "unauthenticated")


@pytest.mark.environment(TOOLS="off")
async def test_with_tools_off_the_model_is_offered_none_and_answers(
    parley: Parley, model: ScriptedModel
) -> None:
    assert text_of(await parley.send("Hello!", user="ann")) == "Hello, how are you?"

    assert not {"tools", "tool_choice"} & model.requests[0].keys()


@pytest.mark.environment(TOOLS="off")
@pytest.mark.parametrize("form", ["plain", "of useChat"])
async def test_with_tools_off_a_forced_tool_is_refused_before_anything_is_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, form: str
) -> None:
    ask = parley.say if form == "plain" else parley.send
    response = await ask("Buy milk", user="ann", tool_choice="add_task")

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["tool_choice"]
    assert "offers no tools" in problem["errors"][0]["detail"]
    assert (model.requests, rows_stored(database)) == ([], 0)


@pytest.mark.environment(TOOLS="off")
async def test_with_tools_off_a_call_that_the_model_makes_all_the_same_is_not_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, text="Done")]

    assert text_of(await parley.send("Buy milk", user="ann")) == "Done"
    assert tasks(database) == []


async def test_a_request_can_force_the_model_to_call_a_tool(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, finish_reason="stop"), DONE]

    response = await parley.say("Buy milk", user="ann", tool_choice="add_task")

    assert response.json()["message"]["content"] == "Done"
    chosen = {"type": "function", "function": {"name": "add_task"}}
    assert model.requests[0]["tool_choice"] == chosen
    assert "tool_choice" not in model.requests[1]
    # Caches of providers have the tools before the messages.
    assert model.requests[0]["tools"] == model.requests[1]["tools"]
    assert len(model.requests[0]["tools"]) > 1
    assert tasks(database) == [("ann", "Buy milk")]


@pytest.mark.parametrize(
    "reply",
    [Reply(pieces=("I like", " milk")), calling(Called("list_tasks"))],
    ids=["text", "another tool"],
)
async def test_a_model_that_ignores_a_forced_tool_is_asked_for_its_arguments(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reply: Reply
) -> None:
    model.replies = [reply, Reply(pieces=('{"title": ', '"Buy milk"}')), DONE]

    parts = parts_of(await parley.send("Buy milk", user="ann", tool_choice="add_task"))

    first, second, third = (request["messages"] for request in model.requests)
    assert model.requests[1]["response_format"]["json_schema"]["name"] == "add_task"
    assert second[:-1] == first[:-1]
    assert second[-1]["content"].startswith("Buy milk\n\n")
    assert third[:2] == first
    assert [part["toolName"] for part in parts if part["type"] == "tool-input-available"] == [
        "add_task"
    ]
    assert "".join(part["delta"] for part in parts if part["type"] == "text-delta") == "Done"
    assert tasks(database) == [("ann", "Buy milk")]


async def test_a_tool_that_does_not_exist_cannot_be_forced(parley: Parley) -> None:
    response = await parley.say("Hello!", user="ann", tool_choice="rm_rf")

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["tool_choice"]
