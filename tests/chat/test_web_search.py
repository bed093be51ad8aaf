"""OPENAI_WEB_SEARCH: the provider's own search of the web, offered, shown, and told to nobody."""

import asyncio
from typing import Any

import pytest

from tests.chat.test_responses import MILK
from tests.support.cited import SOURCE, answer_of, cited, flat, placed, sources_in
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, parts_of, text_of
from tests.support.reading import path_of, sending
from tests.support.responses_model import (
    ResponsesModel,
    called,
    check_events,
    responding,
    said,
    searched,
    thought,
)

on = pytest.mark.environment(OPENAI_WEB_SEARCH="on")
in_responses = pytest.mark.environment(OPENAI_API="responses", OPENAI_WEB_SEARCH="on")
SEARCH = {"type": "web_search"}
PAGES = ["https://example.com/a", "https://example.com/b"]


def tool_parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tool parts of a message, without their ids."""
    parts = [part for part in message["parts"] if part["type"].startswith("tool-")]
    return [{name: value for name, value in part.items() if name != "toolCallId"} for part in parts]


async def test_no_search_is_offered_unless_it_is_switched_on(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!", user="ann")

    assert "web_search_options" not in model.requests[0]


@on
async def test_chat_completions_ask_for_it_by_a_field_for_users_and_for_all_others(
    parley: Parley, model: ScriptedModel
) -> None:
    model.title_reply = Reply(pieces=("A title",))

    await parley.send("Hello!", user="ann")
    await parley.say("Hello!")

    assert [request["web_search_options"] for request in model.requests] == [{}, {}]
    assert all("web_search_options" not in request for request in model.title_requests)


REFUSALS: list[dict[str, Any]] = [
    {"message": "Web search options not supported with this model.", "param": None},
    {"message": "Unrecognized request argument supplied: web_search_options"},
    {"message": "Unknown parameter: 'web_search_options'.", "param": "web_search_options"},
    {"message": "[{'loc': ('body', 'web_search_options'), 'msg': 'Extra inputs not permitted'}]"},
]


@on
@pytest.mark.parametrize("error", REFUSALS)
async def test_a_provider_that_refuses_the_field_is_asked_once_more_without_it(
    parley: Parley, model: ScriptedModel, error: dict[str, Any]
) -> None:
    model.choose = lambda body: (
        Reply(status=400, error={"error": error}) if "web_search_options" in body else Reply()
    )

    assert text_of(await parley.send("Hello!", user="ann")) == "Hello, how are you?"

    assert ["web_search_options" in request for request in model.requests] == [True, False]
    assert "tools" in model.requests[1]
    await parley.send("And now?", message_id="message-2", user="ann")
    assert len(model.requests) == 3


@in_responses
async def test_responses_ask_for_it_by_a_tool(parley: Parley, responses: ResponsesModel) -> None:
    await parley.send("Hello!", user="ann")
    await parley.say("Hello!")

    first, second = responses.requests
    assert first["tools"][-1] == SEARCH
    assert len(first["tools"]) > 1
    assert second["tools"] == [SEARCH]


@in_responses
@pytest.mark.parametrize(
    "error",
    [
        {"message": "Hosted tool 'web_search' is not supported with this model.", "param": "tools"},
        {"message": "tools.5.type: Input should be 'function'", "param": None},
        {"message": "Invalid value: 'web_search'. Supported values are: 'function'."},
    ],
)
async def test_a_provider_that_refuses_the_tool_is_asked_once_more_without_it(
    parley: Parley, model: ScriptedModel, error: dict[str, Any]
) -> None:
    done = {"type": "message", "content": [{"type": "output_text", "text": "Done"}]}
    answer = Reply(chunks=[{"type": "response.completed", "response": {"output": [done]}}])
    refused = Reply(status=400, error={"error": error})
    model.choose = lambda body: refused if SEARCH in body["tools"] else answer

    assert text_of(await parley.send("Hello!", user="ann")) == "Done"

    assert [SEARCH in request["tools"] for request in model.requests] == [True, False]


@in_responses
async def test_a_search_is_a_tool_part_that_the_provider_has_run(
    parley: Parley, responses: ResponsesModel
) -> None:
    reply = responding(
        thought("I look."),
        searched("do cats purr", sources=PAGES),
        said("Cats purr.", annotations=[flat(cited(5, 9))]),
    )
    check_events(reply.events)
    responses.replies = [reply]

    parts = parts_of(await parley.send("Do cats purr?"))

    shown = [part for part in parts if part["type"].startswith("tool-")]
    assert [part["type"] for part in shown] == [
        "tool-input-start", "tool-input-available", "tool-output-available",
    ]  # fmt: skip
    assert all(part["providerExecuted"] is True for part in shown)
    answer = await answer_of(parley)
    assert [part["type"] for part in answer["parts"]] == [
        "step-start", "reasoning", "tool-web_search", "text", "source-url",
    ]  # fmt: skip
    assert tool_parts(answer) == [
        {
            "type": "tool-web_search",
            "state": "output-available",
            "input": {"type": "search", "query": "do cats purr"},
            "output": {"status": "completed", "sources": PAGES},
            "providerExecuted": True,
        }
    ]
    assert sources_in(answer["parts"]) == [SOURCE | placed(5, 9)]
    [call] = answer["tool_calls"]
    assert (call["name"], call["provider_executed"]) == ("web_search", True)


@in_responses
async def test_a_search_between_two_texts_stands_between_them(
    parley: Parley, responses: ResponsesModel
) -> None:
    responses.replies = [responding(said("Let me look."), searched("cats"), said("Cats", " purr."))]

    await parley.send("Do cats purr?")

    answer = await answer_of(parley)
    assert [part.get("text", part["type"]) for part in answer["parts"]] == [
        "step-start", "Let me look.", "tool-web_search", "Cats purr.",
    ]  # fmt: skip
    assert answer["content"] == "Let me look.\n\nCats purr."


@in_responses
async def test_a_search_goes_back_to_its_provider_as_it_came_and_as_no_call(
    parley: Parley, responses: ResponsesModel
) -> None:
    items = [thought("I look."), searched("cats"), called(MILK)]
    responses.replies = [responding(*items), responding(said("Done."))]

    await parley.send("Do cats purr?", user="ann")
    await parley.send("Thanks", message_id="message-2", user="ann")

    for request in responses.requests[1:]:
        sent = [item for item in request["input"] if item["type"] == "web_search_call"]
        assert sent == [items[1].sent]
        results = [item for item in request["input"] if item["type"] == "function_call_output"]
        assert len(results) == 1


@in_responses
async def test_a_search_that_has_failed_says_so(parley: Parley, responses: ResponsesModel) -> None:
    responses.replies = [responding(searched("cats", status="failed"), said("Cats purr."))]

    await parley.send("Do cats purr?")

    [part] = tool_parts(await answer_of(parley))
    assert (part["state"], part["errorText"]) == ("output-error", "The search has failed.")


@in_responses
@pytest.mark.parametrize("action", [None, 5, "search", {"query": 5, "sources": [None, 5, "x"]}])
async def test_a_search_of_an_odd_form_costs_an_answer_nothing(
    parley: Parley, responses: ResponsesModel, action: object
) -> None:
    search = searched("cats")
    search.sent["action"] = action
    responses.replies = [responding(search, said("Cats purr."))]

    assert text_of(await parley.send("Do cats purr?")) == "Cats purr."

    [part] = tool_parts(await answer_of(parley))
    assert (part["input"], part["output"]) == ({}, {"status": "completed"})


@in_responses
async def test_an_answer_that_is_stopped_during_a_search_is_kept_with_the_search_cut(
    parley: Parley, responses: ResponsesModel
) -> None:
    reply = responding(searched("cats"), said("Cats purr."))
    reply.until, reply.pauses_after = asyncio.Event(), 4
    responses.replies = [reply]
    first = sending(parley.client)
    await first.has("tool-input-start")

    await parley.client.delete(path_of())

    assert parts_of(await first.end())[-1]["type"] == "abort"
    answer = await answer_of(parley)
    [part] = tool_parts(answer)
    assert (part["state"], part["errorText"]) == ("output-error", "It was cut before it was over.")
    assert answer["finish_reason"] == "aborted"
