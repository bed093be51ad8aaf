"""The Responses API: the same turns as with Chat Completions, by a provider that refuses a lot."""

import asyncio
import json
from typing import Any

import openai
import psycopg
import pytest

import lib.answers._title
from lib.model._dialects import RESPONSES
from lib.model._provider import sent_request
from tests.support.analyses import ANALYSIS, STORED, stored_analyses, until_answers_done
from tests.support.documents import PDF, sent_file
from tests.support.model_server import ANALYSIS_MODEL, Called
from tests.support.models import a_model
from tests.support.product import Parley, parts_of, problem_of, text_of
from tests.support.reading import path_of, sending, until
from tests.support.responses_model import (
    Item,
    Response,
    ResponsesModel,
    called,
    check_events,
    failed,
    incomplete,
    refused,
    responding,
    said,
    thought,
)

pytestmark = pytest.mark.environment(OPENAI_API="responses")
MILK = Called("add_task", {"title": "Buy milk"}, "call_milk")
BREAD = Called("add_task", {"title": "Buy bread"}, "call_bread")
CAT = {"type": "file", "mediaType": "image/png", "url": "https://example.com/cat.png"}


@pytest.fixture
def model(responses: ResponsesModel) -> ResponsesModel:
    """Return the model that answers."""
    return responses


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a title without a limit, so that no test depends on the machine's speed."""
    monkeypatch.setattr(lib.answers._title, "TITLE_PATIENCE_SECONDS", 30)


def tasks(database: psycopg.Connection) -> list[str]:
    """Return the title of each task."""
    return [title for (title,) in database.execute("SELECT title FROM tasks ORDER BY id")]


def replayed(*items: Item) -> list[dict[str, Any]]:
    """Return items as the provider wants them back: reasoning without its status."""
    return [
        {name: value for name, value in item.sent.items() if name != "status"}
        if item.sent["type"] == "reasoning"
        else item.sent
        for item in items
    ]


def test_the_scripted_events_are_those_that_openai_describes() -> None:
    scripted = [
        responding(thought("One", "Two"), said("Hel", "lo", phase="commentary"), called(MILK)),
        incomplete(refused("No", "."), reason="content_filter"),
        failed(said("Hello")),
        failed(),
    ]

    for response in scripted:
        check_events(response.events)


async def test_a_turn_is_one_request_after_which_the_provider_keeps_nothing(
    parley: Parley, model: ResponsesModel
) -> None:
    response = await parley.send("Hello!")

    assert text_of(response) == "Hello, how are you?"
    [asked] = model.requests
    assert asked == {
        "model": "test-model",
        "input": [
            {"type": "message", "role": "system", "content": "You are a helpful assistant."},
            {"type": "message", "role": "user", "content": "Hello!"},
        ],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
    }
    answer = (await parley.history())["messages"][1]
    assert answer["finish_reason"] == "stop"
    assert answer["model_name"] == "scripted-1"
    assert answer["prompt_tokens"] == 7
    assert answer["completion_tokens"] > 0


async def test_later_turns_send_earlier_answers_in_a_form_that_every_server_takes(
    parley: Parley, model: ResponsesModel
) -> None:
    for number in range(3):
        await parley.send(f"Question {number}", message_id=f"message-{number}")

    *_, question, answer, last = model.requests[2]["input"]
    assert question == {"type": "message", "role": "user", "content": "Question 1"}
    assert answer["content"] == [
        {"type": "output_text", "text": "Hello, how are you?", "annotations": []}
    ]
    assert last["content"] == "Question 2"


async def test_reasoning_goes_back_unchanged_between_the_question_and_its_calls(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    items = (thought("I need", "two tasks"), said("Let me see."), called(MILK), called(BREAD))
    model.replies = [responding(*items), responding(said("Done"))]

    response = await parley.send("Add milk and bread", user="ann")

    first, second = model.requests
    assert second["input"][: len(first["input"])] == first["input"]
    *sent_items, milk, bread = second["input"][len(first["input"]) :]
    assert json.dumps(sent_items) == json.dumps(replayed(*items))
    assert [each["call_id"] for each in (milk, bread)] == ["call_milk", "call_bread"]
    assert json.loads(milk["output"])["title"] == "Buy milk"
    assert tasks(database) == ["Buy milk", "Buy bread"]
    assert "Done" in text_of(response)


async def test_each_step_keeps_its_own_reasoning(parley: Parley, model: ResponsesModel) -> None:
    first = (thought("Milk"), called(MILK))
    second = (thought(), said("And bread.", phase="commentary"), thought(), called(BREAD))
    model.replies = [responding(*first), responding(*second), responding(said("Done"))]

    parts = parts_of(await parley.send("Add milk and bread", user="ann"))

    assert parts[-1]["finishReason"] == "stop"
    items = model.requests[2]["input"][2:]
    kept = [item for item in items if item["type"] != "function_call_output"]
    assert kept == replayed(*first, *second)


@pytest.mark.parametrize("fields", [{"encrypted_content": None}, {"encrypted_content": ""}])
async def test_reasoning_that_the_provider_would_have_to_look_up_is_left_out(
    parley: Parley, model: ResponsesModel, fields: dict[str, Any]
) -> None:
    model.replies = [responding(thought("Milk", **fields), called(MILK)), responding(said("Done"))]

    await parley.send("Add milk", user="ann")

    call, result = model.requests[1]["input"][2:]
    assert call == {
        "type": "function_call",
        "call_id": "call_milk",
        "name": "add_task",
        "arguments": '{"title":"Buy milk"}',
    }
    assert result["call_id"] == "call_milk"


async def test_the_reasoning_of_an_open_model_goes_back_as_text(
    parley: Parley, model: ResponsesModel
) -> None:
    text = {"content": [{"type": "reasoning_text", "text": "Milk it is."}]}
    open_thought = thought(**text, encrypted_content=None)
    model.replies = [responding(open_thought, called(MILK)), responding(said("Done"))]

    await parley.send("Add milk", user="ann")

    assert model.requests[1]["input"][2] == replayed(open_thought)[0]


async def test_text_after_a_call_goes_back_once_and_the_reasoning_before_it_stays(
    parley: Parley, model: ResponsesModel
) -> None:
    reasoning = thought("I need a task.")
    model.replies = [
        responding(reasoning, called(MILK), said("I add", " it.")),
        responding(said("Done.")),
    ]

    await parley.send("Add milk", user="ann")
    await parley.send("Thanks", message_id="message-2", user="ann")

    assert json.dumps(model.requests[-1]["input"]).count("I add it.") == 1
    for request in model.requests[1:]:
        assert replayed(reasoning)[0] in request["input"]


async def test_text_between_two_calls_goes_back_once(parley: Parley, model: ResponsesModel) -> None:
    model.replies = [responding(called(MILK), said("And", " bread."), called(BREAD))]

    await parley.send("Add milk and bread", user="ann")
    await parley.send("Thanks", message_id="message-2", user="ann")

    assert json.dumps(model.requests[-1]["input"]).count("And bread.") == 1


async def test_a_call_id_that_a_server_repeats_in_an_answer_goes_back_once(
    parley: Parley, model: ResponsesModel
) -> None:
    again = Called(BREAD.name, BREAD.arguments, MILK.id)
    model.replies = [responding(called(each)) for each in (MILK, again)]

    await parley.send("Add milk and bread", user="ann")

    ids, results = (
        [item["call_id"] for item in model.requests[-1]["input"] if item["type"] == kind]
        for kind in ("function_call", "function_call_output")
    )
    assert ids == results
    assert (ids[0], len(set(ids))) == (MILK.id, 2)


async def test_tools_are_sent_flat_and_not_strict(parley: Parley, model: ResponsesModel) -> None:
    await parley.send("Hello!", user="ann")

    [first, *_] = model.requests[0]["tools"]
    assert (first["type"], first["name"], first["strict"]) == ("function", "add_task", False)
    assert first["parameters"]["properties"].keys() >= {"title"}
    assert "tool_choice" not in model.requests[0]


async def test_a_forced_tool_is_the_first_that_the_model_calls(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    model.replies = [responding(thought(), called(MILK)), responding(said("Done"))]

    response = await parley.say("Buy milk", user="ann", tool_choice="add_task")

    assert response.json()["message"]["content"] == "Done"
    assert model.requests[0]["tool_choice"] == {"type": "function", "name": "add_task"}
    assert "tool_choice" not in model.requests[1]
    assert tasks(database) == ["Buy milk"]


async def test_a_model_that_ignores_a_forced_tool_writes_its_arguments_by_schema(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    arguments = said('{"title": ', '"Buy milk"}', phase="final_answer")
    model.replies = [
        responding(said("I like", " milk")),
        responding(thought(), arguments),
        responding(said("Done")),
    ]

    response = await parley.say("Buy milk", user="ann", tool_choice="add_task")

    assert response.json()["message"]["content"] == "Done"
    wanted = model.requests[1]["text"]["format"]
    assert (wanted["type"], wanted["name"], wanted["strict"]) == ("json_schema", "add_task", False)
    assert tasks(database) == ["Buy milk"]


@pytest.mark.environment(OPENAI_API="responses", MAX_TOOL_STEPS="2")
async def test_in_the_last_step_the_model_may_call_no_tool(
    parley: Parley, model: ResponsesModel
) -> None:
    model.replies = [responding(called(MILK)), responding(said("Done"))]

    await parley.send("Add milk", user="ann")

    assert [each.get("tool_choice") for each in model.requests] == [None, "none"]


@pytest.mark.environment(OPENAI_API="responses", MAX_TOOL_STEPS="1")
async def test_without_tools_there_is_no_choice_of_tools(
    parley: Parley, model: ResponsesModel
) -> None:
    await parley.send("Hello!")

    assert "tool_choice" not in model.requests[0]


@pytest.mark.environment(OPENAI_API="responses", OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)
async def test_an_analysis_is_asked_for_by_a_strict_schema(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    model.analysis_reply = responding(thought("Cooking"), said(json.dumps(ANALYSIS)))

    await parley.send("What do I need for a soup?")
    await until_answers_done()

    assert stored_analyses(database) == [STORED]
    [asked] = model.analysis_requests
    assert asked["text"]["format"]["strict"] is True
    assert asked["text"]["format"]["schema"]["additionalProperties"] is False


async def test_a_title_is_asked_for_and_stored(parley: Parley, model: ResponsesModel) -> None:
    model.title_reply = responding(thought("A greeting"), said("A friendly", " greeting"))

    await parley.send("Hello!")

    assert (await parley.history())["conversation"]["title"] == "A friendly greeting"
    assert model.title_requests[0]["store"] is False


async def test_an_image_stands_beside_its_text(parley: Parley, model: ResponsesModel) -> None:
    parts = [{"type": "text", "text": "What is this?"}, CAT]
    message = {"id": "message-1", "role": "user", "parts": parts}

    await parley.send("", messages=[message], user="ann")

    assert model.requests[0]["input"][1]["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": CAT["url"], "detail": "auto"},
    ]


async def test_a_pdf_is_the_input_file_of_the_api(parley: Parley, model: ResponsesModel) -> None:
    report = sent_file("report.pdf", PDF, "application/pdf")
    message = {"id": "message-1", "role": "user", "parts": [report]}

    await parley.send("", messages=[message], user="ann")

    assert model.requests[0]["input"][1]["content"] == [
        {"type": "input_file", "filename": "report.pdf", "file_data": report["url"]}
    ]


async def test_a_refusal_in_words_is_the_answer(parley: Parley, model: ResponsesModel) -> None:
    model.replies = [responding(refused("I can", "not."))]

    assert text_of(await parley.send("Hello!")) == "I cannot."
    await parley.send("Why?", message_id="message-2")
    assert model.requests[1]["input"][2]["content"][0]["text"] == "I cannot."


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("max_output_tokens", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("steered", "other"),
    ],
)
async def test_an_incomplete_answer_is_stored_with_its_reason(
    parley: Parley, model: ResponsesModel, reason: str, finish_reason: str
) -> None:
    model.replies = [incomplete(said("Hel", "lo"), reason=reason)]

    assert text_of(await parley.send("Hello!")) == "Hello"

    assert (await parley.history())["messages"][1]["finish_reason"] == finish_reason


async def test_an_answer_that_a_filter_withholds_says_so(
    parley: Parley, model: ResponsesModel
) -> None:
    model.replies = [incomplete(reason="content_filter")]
    model.replies[0].events = [
        event for event in model.replies[0].events if "output" not in event["type"]
    ]
    model.replies[0].events[-1]["response"]["output"] = []

    problem_of(await parley.say("Hello!"), 502, "answer_withheld")


async def test_a_failure_midway_keeps_what_came(parley: Parley, model: ResponsesModel) -> None:
    model.replies = [failed(said("Hel", "lo"))]

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "error"
    assert "sk-secret" not in json.dumps(parts)
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello", "error")


ERRORS = [
    # As OpenAI sends it, as its description has it, and as others do.
    {"type": "error", "error": {"type": "server_error", "code": None, "message": "sk-secret"}},
    {"type": "error", "code": "server_error", "message": "sk-secret", "param": None},
    {"error": {"message": "sk-secret"}},
    {"error": "sk-secret"},
]


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_instead_of_an_answer_is_a_problem(
    parley: Parley, model: ResponsesModel, error: dict[str, Any]
) -> None:
    begun = responding().events[:2]
    model.replies = [Response(events=[*begun, {"type": "", **error}])]

    problem = problem_of(await parley.say("Hello!"), 502, "model_failed")

    assert "sk-secret" not in json.dumps(problem)
    model.replies = [failed()]
    problem_of(await parley.say("Hello!"), 502, "model_failed")


async def test_a_connection_that_is_cut_midway_fails_the_answer(
    parley: Parley, model: ResponsesModel
) -> None:
    model.replies = [responding(said("Hel", "lo"))]
    model.replies[0].cuts_after = 6

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "error"
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello", "error")


async def test_the_last_event_ends_an_answer_though_the_response_stays_open(
    parley: Parley, model: ResponsesModel
) -> None:
    model.replies = [responding(thought(), called(MILK)), responding(said("Done"))]
    for reply in model.replies:
        reply.stays_open = True

    # Less than the silence after which Parley gives a provider up.
    async with asyncio.timeout(25):
        response = await parley.send("Add milk", user="ann")

    assert text_of(response) == "Done"
    await until(lambda: model.left == 2)


async def test_a_stop_ends_the_request_to_the_provider(
    parley: Parley, model: ResponsesModel
) -> None:
    model.replies = [responding(said("Hel", "lo", " there"))]
    model.replies[0].until, model.replies[0].pauses_after = asyncio.Event(), 6
    reading = sending(parley.client)
    await reading.has("lo")

    response = await parley.client.delete(path_of())

    assert response.status_code == 204
    await until(lambda: model.left == 1)
    answer = (await parley.history())["messages"][1]
    assert (answer["content"], answer["finish_reason"]) == ("Hello", "aborted")
    await reading.end()
    await parley.send("And now?", message_id="message-2")
    assert model.requests[1]["input"][2]["content"][0]["text"] == "Hello"


async def test_a_call_that_is_cut_by_the_limit_of_tokens_does_not_run(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    half = Called("add_task", '{"title": "Buy', "call_milk")
    model.replies = [
        incomplete(thought(), called(half), reason="max_output_tokens"),
        responding(said("Sorry")),
    ]

    await parley.send("Add milk", user="ann")

    assert tasks(database) == []
    *_, call, result = model.requests[1]["input"]
    assert (call["arguments"], call["call_id"]) == ("{}", result["call_id"])


async def test_the_halves_of_a_character_in_two_deltas_become_one(
    parley: Parley, model: ResponsesModel, database: psycopg.Connection
) -> None:
    milk = Called("add_task", '{"title": "\U0001f95b"}', "call_milk")
    model.replies = [responding(called(milk)), responding(said("Hello \ud83d", "\ude00"))]
    kind = "response.function_call_arguments.delta"
    first, second = [event for event in model.replies[0].events if event["type"] == kind]
    first["delta"], second["delta"] = '{"title": "\ud83e', '\udd5b"}'

    response = await parley.send("Add milk", user="ann")

    assert text_of(response) == "Hello \U0001f600"
    assert "\ud83e" not in response.text
    assert tasks(database) == ["\U0001f95b"]


async def test_fields_that_the_package_does_not_know_reach_the_provider(
    parley: Parley, model: ResponsesModel
) -> None:
    await parley.send("Hello!")
    item = {"type": "message", "role": "user", "content": "Hi", "novelty": [{"async": True}]}
    body = {"model": "test-model", "input": [item], "stream": True, "novelty": {"a": None}}

    with pytest.raises(openai.BadRequestError):
        async with sent_request(a_model(), RESPONSES.path, body):
            pass

    assert model.requests[1] == body
    assert "novelty" in model.faults.pop()


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'reasoning.summary' is not supported with this model.",
        "Your organization must be verified to generate reasoning summaries.",
    ],
)
@pytest.mark.environment(OPENAI_API="responses", OPENAI_REASONING_EFFORT="low")
async def test_a_provider_that_refuses_summaries_is_asked_without_them_and_keeps_the_effort(
    parley: Parley, model: ResponsesModel, message: str
) -> None:
    refusal = {"message": message, "param": "reasoning.summary", "code": "unsupported_value"}
    model.replies = [Response(status=400, error=refusal), responding(said("Hello"))]

    assert text_of(await parley.send("Hello!")) == "Hello"

    assert [request["reasoning"] for request in model.requests] == [
        {"effort": "low", "summary": "auto"}, {"effort": "low"},
    ]  # fmt: skip
