"""Tool calls in all forms that providers send, and their odd outcomes."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from lib.problems import DatabaseUnavailable
from lib.tools import ToolContext, ToolError
from tests.chat.conftest import Offer
from tests.chat.test_tools import check_provider_form, tasks
from tests.chat.test_tools_once import Nothing
from tests.support.model_server import MODEL_NAME, Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, parts_of, problem_of, text_of

DONE = Reply(pieces=("Done",))
MILK, BREAD = '{"title": "Milk"}', '{"title": "Bread"}'


def chunk(*calls: dict[str, Any], text: str = "", finish_reason: str | None = None) -> Any:
    """Return a chunk of a stream with pieces of tool calls."""
    delta: dict[str, Any] = {"tool_calls": list(calls)} if calls else {}
    delta |= {"content": text} if text else {}
    return {
        "model": MODEL_NAME,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def piece(arguments: object = None, **fields: object) -> dict[str, Any]:
    """Return a piece of a call of add_task; `name=None` leaves the name out."""
    name = fields.pop("name", "add_task")
    function = {"name": name, "arguments": arguments}
    return fields | {"function": {key: each for key, each in function.items() if each is not None}}


END = chunk(finish_reason="tool_calls")
TWO_CALLS = {
    "each index 0, with ids": [
        chunk(piece(MILK, index=0, id="a")), chunk(piece(BREAD, index=0, id="b")),
    ],
    "each index 0, without ids": [
        chunk(piece(MILK, index=0)), chunk(piece(BREAD, index=0)),
    ],
    "both in one chunk": [chunk(piece(MILK, index=0), piece(BREAD, index=0))],
    "no index": [chunk(piece(MILK, id="a")), chunk(piece(BREAD, id="b"))],
    "the name again in each piece": [
        chunk(piece(MILK[:6], index=0, id="a")), chunk(piece(MILK[6:], index=0, id="a")),
        chunk(piece(BREAD, index=1, id="b")),
    ],
    "the name in two pieces": [
        chunk(piece(index=0, id="a", name="add_")), chunk(piece(index=0, name="task")),
        chunk(piece(MILK, index=0, name=None)), chunk(piece(BREAD, index=1, id="b")),
    ],
    "objects for arguments, numbers for ids": [
        chunk(piece({"title": "Milk"}, index=0, id=1)), chunk(piece({"title": "Bread"}, index=1)),
    ],
    "each index 0, without ids, in pieces": [
        chunk(piece(MILK[:6], index=0)), chunk(piece(MILK[6:], index=0, name=None)),
        chunk(piece(index=0)), chunk(piece(BREAD[:6], index=0, name=None)),
        chunk(piece(BREAD[6:], index=0, name=None)),
    ],
    "one id for both": [
        chunk(piece(MILK, index=0, id="a")), chunk(piece(BREAD, index=1, id="a")),
    ],
    "one id and index for both, in pieces": [
        chunk(piece(MILK[:6], index=0, id="a")), chunk(piece(MILK[6:], index=0, id="a")),
        chunk(piece(BREAD[:6], index=0, id="a")), chunk(piece(BREAD[6:], index=0, name=None)),
    ],
    "pieces by turns, told apart by ids alone": [
        chunk(piece(MILK[:6], id="a")), chunk(piece(BREAD[:6], id="b")),
        chunk(piece(MILK[6:], id="a", name=None)), chunk(piece(BREAD[6:], id="b", name=None)),
    ],
    "another id in each piece": [
        chunk(piece(MILK[:6], index=0, id="a")), chunk(piece(MILK[6:], index=0, id="b", name=None)),
        chunk(piece(BREAD[:6], index=1, id="c")),
        chunk(piece(BREAD[6:], index=1, id="d", name=None)),
    ],
    "the name after the arguments": [
        chunk(piece(MILK[:6], index=0, id="a", name=None)), chunk(piece(MILK[6:], index=0)),
        chunk(piece(BREAD, index=1, id="b")),
    ],
    "an empty object before the arguments": [
        chunk(piece("{}", index=0, id="a")), chunk(piece(MILK[:6], index=0, name=None)),
        chunk(piece(MILK[6:], index=0, name=None)), chunk(piece(BREAD, index=1, id="b")),
    ],
}  # fmt: skip
SPACED = MILK.replace(":", " : ")
# The chunks after a call with MILK in its arguments, under index 0 and id "a".
ONCE_MORE = {
    "whole": [chunk(piece(MILK, index=0, id="a"))],
    "whole, twice": [chunk(piece(MILK, index=0, id="a")), chunk(piece(MILK, index=0, id="a"))],
    "with the finish reason": [
        chunk(piece(MILK, index=0, id="a"), finish_reason="tool_calls"),
    ],
    "in pieces": [
        chunk(piece(MILK[:6], index=0, id="a")), chunk(piece(MILK[6:], index=0, id="a")),
    ],
    "in pieces, the name first": [
        chunk(piece("", index=0, id="a")), chunk(piece(MILK[:6], index=0, name=None)),
        chunk(piece(MILK[6:], index=0, name=None)),
    ],
    "with other spaces": [chunk(piece(SPACED, index=0, id="a"))],
    "as an object": [chunk(piece({"title": "Milk"}, index=0, id="a"))],
    "without its name": [chunk(piece(MILK, index=0, id="a", name=None))],
    "without its id": [chunk(piece(MILK, index=0))],
    "without its index": [chunk(piece(MILK, id="a"))],
    "under another index": [chunk(piece(MILK, index=3, id="a"))],
    "under another index, in pieces": [
        chunk(piece(MILK[:6], index=3, id="a")), chunk(piece(MILK[6:], index=3, name=None)),
    ],
    "its name alone": [chunk(piece("", index=0, id="a"))],
    "its beginning": [chunk(piece(MILK[:6], index=0, id="a"))],
    "a blank": [chunk(piece("\n", index=0, name=None))],
}  # fmt: skip


@pytest.mark.parametrize("form", TWO_CALLS)
async def test_two_tool_calls_are_read_in_each_form_that_providers_send(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, form: str
) -> None:
    model.replies = [Reply(chunks=[*TWO_CALLS[form], END]), DONE]

    assert text_of(await parley.send("Add them", user="ann")) == "Done"

    assert tasks(database) == [("ann", "Milk"), ("ann", "Bread")]
    check_provider_form(model.requests[1])


@pytest.mark.parametrize("first", ["whole", "in pieces"])
@pytest.mark.parametrize("form", ONCE_MORE)
async def test_a_call_that_comes_once_more_has_its_effect_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, form: str, first: str
) -> None:
    whole = [chunk(piece(MILK, index=0, id="a"))]
    pieces = [
        chunk(piece("", index=0, id="a")),
        *(chunk(piece(each, index=0, name=None)) for each in MILK),
    ]
    chunks = whole if first == "whole" else pieces
    model.replies = [Reply(chunks=[*chunks, *ONCE_MORE[form], END]), DONE]

    assert text_of(await parley.send("Add milk", user="ann")) == "Done"

    assert tasks(database) == [("ann", "Milk")]
    [call] = [
        call for message in check_provider_form(model.requests[1])
        for call in message.get("tool_calls", [])
    ]  # fmt: skip
    assert call["id"] == "a"


async def test_two_equal_calls_under_one_id_that_come_by_turns_have_one_effect(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    chunks = [
        chunk(piece(MILK[:6], index=index, id="a"), piece(index=1 - index, id="a"))
        for index in (0, 1)
    ]
    ends = [chunk(piece(MILK[6:], index=index, name=None)) for index in (0, 1)]
    model.replies = [Reply(chunks=[*chunks, *ends, END]), DONE]

    await parley.send("Add milk", user="ann")

    assert tasks(database) == [("ann", "Milk")]
    check_provider_form(model.requests[1])


async def test_equal_calls_under_different_ids_are_two(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    chunks = [chunk(piece(MILK, index=0, id="a")), chunk(piece(MILK, index=0, id="b"))]
    model.replies = [Reply(chunks=[*chunks, END]), DONE]

    await parley.send("Add milk twice", user="ann")

    assert tasks(database) == [("ann", "Milk"), ("ann", "Milk")]


async def test_a_call_whose_complete_arguments_go_on_is_not_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    chunks = [chunk(piece(MILK, index=0, id="a")), chunk(piece("}", index=0, name=None))]
    model.replies = [Reply(chunks=[*chunks, END]), DONE]

    await parley.send("Add milk", user="ann")

    assert tasks(database) == []
    assert "Not run" in json.dumps(model.requests[1]["messages"])


async def test_a_character_of_the_arguments_that_comes_in_halves_is_whole_in_each_part(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    pieces = ['{"title": "Milk \ud83d', '\ude00\ud83d"}']
    chunks = [chunk(piece(each, index=0, id="a")) for each in pieces]
    other = chunk(piece(BREAD, index=1, id="b"))
    model.replies = [Reply(chunks=[chunks[0], other, chunks[1], END]), DONE]

    parts = parts_of(await parley.send("Add them", user="ann"))

    assert tasks(database) == [("ann", "Milk 😀\ufffd"), ("ann", "Bread")]
    for part in parts:
        json.dumps(part, ensure_ascii=False).encode()
    milk = [
        part["inputTextDelta"] for part in parts
        if part["type"] == "tool-input-delta" and part["toolCallId"] == "a"
    ]  # fmt: skip
    assert milk == ['{"title": "Milk ', '😀\ufffd"}']


async def test_a_tool_name_that_providers_refuse_is_replaced_in_later_requests(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [calling(Called("functions.add task <|x|>")), DONE]

    await parley.send("Do it", user="ann")
    await parley.send("And now?", message_id="message-2", user="ann")

    for request in model.requests[1:]:
        [call] = [
            call for message in check_provider_form(request)
            for call in message.get("tool_calls", [])
        ]  # fmt: skip
        assert call["function"]["name"] == "functions_add_task___x__"


async def test_a_long_call_id_goes_back_unchanged_to_the_model_that_it_came_from(
    parley: Parley, model: ScriptedModel
) -> None:
    # LiteLLM puts a signature of hundreds of characters into the id.
    long_id = "call_1__thought__" + "s" * 900
    model.replies = [calling(Called("add_task", {"title": "Milk"}, long_id)), DONE]

    await parley.send("Add milk", user="ann")

    *_, called, result = check_provider_form(model.requests[1])
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == long_id


@pytest.mark.parametrize("form", ["stream", "json"])
async def test_a_reply_with_nothing_but_a_nameless_tool_call_is_a_502(
    parley: Parley, model: ScriptedModel, form: str
) -> None:
    nameless = {"index": 0, "id": "a", "function": None}
    model.replies = [Reply(chunks=[chunk(nameless), END]), DONE]
    send = parley.send if form == "stream" else parley.say
    named = {"message_id": "m"} if form == "json" else {}

    async with asyncio.timeout(10):
        problem_of(await send("Do it", user="ann", **named), 502, "model_failed")


@pytest.mark.environment(MAX_DURATION_SECONDS="5")
async def test_an_answer_cut_within_a_calls_arguments_ends_and_is_stored(
    parley: Parley, model: ScriptedModel
) -> None:
    begun = chunk(piece('{"title": "Mi', index=0, id="a"))
    model.replies = [Reply(chunks=[begun], hangs_after=0)]

    async with asyncio.timeout(10):
        parts = parts_of(await parley.send("Add milk", user="ann"))

    assert parts[-1]["finishReason"] == "length"
    [called] = (await parley.history(user="ann"))["messages"][1]["tool_calls"]
    assert "cut" in called["error"]


async def test_a_chosen_tool_is_not_forced_again_when_the_message_is_tried_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(Called("add_task", {"title": "Milk"})), Reply(status=500), DONE]
    await parley.send("Buy milk", user="ann", tool_choice="add_task")

    assert text_of(await parley.send("Buy milk", user="ann", tool_choice="add_task")) == "Done"

    assert "tool_choice" not in model.requests[2]
    assert tasks(database) == [("ann", "Milk")]


async def test_text_after_a_tool_call_stands_after_it(parley: Parley, model: ScriptedModel) -> None:
    chunks = [chunk(text="Before."), chunk(piece(MILK, index=0, id="a")), chunk(text="After."), END]
    model.replies = [Reply(chunks=chunks), DONE]

    streamed = parts_of(await parley.send("Add milk", user="ann"))

    shown = [
        part.get("text", part["type"])
        for part in (await parley.history(user="ann"))["messages"][1]["parts"]
    ]
    assert shown == ["step-start", "Before.", "tool-add_task", "After.", "step-start", "Done"]
    assert [part["delta"] for part in streamed if part["type"] == "text-delta"] == [
        "Before.", "After.", "Done",
    ]  # fmt: skip


@pytest.mark.parametrize("says", ["upstream said \0", "bad \ud800", "long " * 10_000])
async def test_an_answer_is_stored_with_any_text_of_a_tool_error(
    parley: Parley, model: ScriptedModel, offer: Offer, says: str
) -> None:
    async def fail(_nothing: Nothing, _context: ToolContext) -> object:
        """Fail."""
        raise ToolError(says)

    offer(fail)
    model.replies = [calling(Called("fail")), DONE]

    assert text_of(await parley.send("Fail", user="ann")) == "Done"
    [called] = (await parley.history(user="ann"))["messages"][1]["tool_calls"]
    assert 0 < len(called["error"]) <= 2000


async def test_a_tool_that_cancels_itself_fails_and_the_answer_goes_on(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    async def give_up(_nothing: Nothing, _context: ToolContext) -> object:
        """Give up."""
        waiting = asyncio.create_task(asyncio.sleep(60))
        waiting.cancel()
        await waiting
        return {}

    offer(give_up)
    model.replies = [calling(Called("give_up")), DONE]

    async with asyncio.timeout(10):
        assert text_of(await parley.send("Give up", user="ann")) == "Done"


async def test_calls_beyond_20_in_a_step_are_not_run_and_the_model_reads_why(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    many = [Called("add_task", {"title": f"Task {n}"}, f"call_{n}") for n in range(30)]
    model.replies = [calling(*many), DONE]

    await parley.send("Add them", user="ann")

    assert len(tasks(database)) == 20
    results = [m for m in check_provider_form(model.requests[1]) if m["role"] == "tool"]
    assert len(results) == 30
    assert "no more than 20" in json.loads(results[-1]["content"])["error"]


@pytest.mark.parametrize("reason", ["content_filter", "length"])
async def test_a_tool_call_that_its_provider_held_back_or_cut_is_not_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reason: str
) -> None:
    given = MILK if reason == "content_filter" else MILK[:-4]
    chunks = [chunk(piece(given, index=0, id="a")), chunk(finish_reason=reason)]
    model.replies = [Reply(chunks=chunks), DONE]

    await parley.send("Add milk", user="ann")

    assert tasks(database) == []
    assert "Not run" in json.dumps(model.requests[1]["messages"])


async def test_a_tool_that_lost_its_database_has_an_unknown_outcome(
    parley: Parley, model: ScriptedModel, offer: Offer
) -> None:
    async def lose_it(_nothing: Nothing, _context: ToolContext) -> object:
        """Lose the database."""
        raise DatabaseUnavailable

    offer(lose_it)
    model.replies = [calling(Called("lose_it")), DONE]

    assert text_of(await parley.send("Lose it", user="ann")) == "Done"
    assert "not known what came of this" in json.dumps(model.requests[1]["messages"])
