"""The ends of a provider's stream, and its contents, as providers send them."""

import asyncio
import json
import re
from typing import Any

import psycopg
import pytest

from lib.runtime.counting import UNREADABLE_EVENTS, counters
from tests.chat.test_odd_tool_calls import MILK, chunk, piece
from tests.chat.test_tools import tasks
from tests.support.model_server import MODEL_NAME, Reply, ScriptedModel
from tests.support.product import Parley, parts_of, problem_of, text_of

DONE = b"data: [DONE]\n\n"
USAGE: dict[str, Any] = {
    "model": MODEL_NAME,
    "choices": [],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}
ADD_MILK = chunk(piece(MILK, index=0, id="a"))


def event(content: object) -> bytes:
    """Return an event."""
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def text(content: str, reason: str | None = None) -> bytes:
    """Return an event with some text."""
    return event(chunk(text=content, finish_reason=reason))


def end(reason: str) -> bytes:
    """Return an event with the reason of the end alone."""
    return event(chunk(finish_reason=reason))


HELLO = text("Hello")
WHOLE = {"role": "assistant", "content": "Hello"}
ENDED_WELL = {
    "a reason, usage, and done": Reply(body=[HELLO, end("stop"), event(USAGE), DONE]),
    "a reason, then the connection closes": Reply(body=[HELLO, end("stop")]),
    "a reason, then comments for good": Reply(body=[HELLO, end("stop")], beats=True),
    "a reason and usage, then comments for good": Reply(
        body=[HELLO, end("stop"), event(USAGE)], beats=True
    ),
    "done without a reason": Reply(body=[HELLO, DONE]),
    "done without a reason, then comments for good": Reply(body=[HELLO, DONE], beats=True),
    "an empty reason, and done": Reply(body=[text("Hello", ""), DONE]),
    "another name": Reply(body=[HELLO, end("end_turn"), DONE]),
    "a reason with each chunk": Reply(body=[text("Hel", "stop"), text("lo", "stop"), DONE]),
    "an error after the reason": Reply(body=[HELLO, end("stop"), event({"error": {"code": 500}})]),
    "no blank line after the last event": Reply(body=[HELLO, end("stop").strip()]),
    "no stream, but a body": Reply(
        body=[json.dumps({"choices": [{"message": WHOLE, "finish_reason": "stop"}]}).encode()],
        headers={"content-type": "application/json"},
    ),
    "carriage returns, and line feeds in other segments": Reply(
        body=re.split(rb"(?<=\r)", (HELLO + end("stop") + DONE).replace(b"\n", b"\r\n"))
    ),
    "keep-alives and unreadable data among the events": Reply(
        body=[
            b"\xef\xbb\xbf: PROCESSING\n\n", b"data:\n\n", b"data: null\n\n",
            b"event: ping\ndata: {}\n\n", text("Hel"), b"data: {garbled\n\n",
            b"id: 1\nretry: 5\n\n", text("lo"), end("stop"), DONE,
        ]
    ),
}  # fmt: skip
FAILED_MIDWAY = {
    **{
        reason: Reply(body=[HELLO, end(reason), DONE])
        for reason in ("error", "network_error", "insufficient_system_resource", "abort")
    },
    "a reason and text together": Reply(body=[text("Hello", "error"), DONE]),
    "a reason, then comments for good": Reply(body=[HELLO, end("error")], beats=True),
    "neither reason nor done": Reply(body=[HELLO]),
    "usage, but neither reason nor done": Reply(body=[HELLO, event(USAGE)]),
    "an error as an event": Reply(body=[HELLO, event({"error": {"message": "sk-secret"}}), DONE]),
    "an error in a choice": Reply(body=[HELLO, event({"choices": [{"error": {"code": 502}}]})]),
    "an error as an event of its type": Reply(body=[HELLO, b"event: error\ndata: sk-secret\n\n"]),
    "an error as a line": Reply(body=[HELLO, b'{"error": {"message": "sk-secret"}}\n']),
}
REPORTED = [
    ({"code": 429}, 503, "model_overloaded"),
    ({"code": "429", "message": "sk-secret"}, 503, "model_overloaded"),
    ({"type": "overloaded_error"}, 503, "model_overloaded"),
    ({"code": "rate_limit_exceeded"}, 503, "model_overloaded"),
    ({"code": 504}, 504, "model_timeout"),
    ({"code": "content_filter"}, 502, "answer_withheld"),
    ({"code": 401}, 502, "model_refused"),
    ({"message": "sk-secret"}, 502, "model_failed"),
    ("sk-secret", 502, "model_failed"),
]


async def answer_of(parley: Parley) -> tuple[str, str]:
    """Return the text and the finish reason of the last stored answer."""
    answer = (await parley.history())["messages"][-1]
    return answer["content"], answer["finish_reason"]


@pytest.mark.parametrize("form", ENDED_WELL)
async def test_a_stream_that_ended_well_is_a_whole_answer(
    parley: Parley, model: ScriptedModel, form: str
) -> None:
    model.replies = [ENDED_WELL[form]]

    # Far from the 55 s that a turn may take.
    async with asyncio.timeout(20):
        parts = parts_of(await parley.send("Hello!"))

    assert (parts[-1]["type"], parts[-1]["finishReason"]) == ("finish", "stop")
    assert await answer_of(parley) == ("Hello", "stop")


@pytest.mark.parametrize("form", FAILED_MIDWAY)
async def test_a_stream_that_failed_midway_leaves_its_text_marked_as_failed(
    parley: Parley, model: ScriptedModel, form: str
) -> None:
    model.replies = [FAILED_MIDWAY[form]]

    async with asyncio.timeout(20):
        response = await parley.send("Hello!")

    assert parts_of(response)[-1]["type"] == "error"
    assert "sk-secret" not in response.text
    assert await answer_of(parley) == ("Hello", "error")


@pytest.mark.parametrize("form", ["event", "body"])
@pytest.mark.parametrize(("error", "status", "code"), REPORTED)
async def test_an_error_in_a_200_is_the_problem_that_its_code_says(
    parley: Parley, model: ScriptedModel, form: str, error: object, status: int, code: str
) -> None:
    reported = json.dumps({"error": error}).encode()
    is_event = form == "event"
    model.replies = [
        Reply(
            body=[b"data: " + reported + b"\n\n" if is_event else reported],
            headers={} if is_event else {"content-type": "application/json"},
        )
    ]

    response = await parley.send("Hello!")

    problem_of(response, status, code)
    assert "sk-secret" not in response.text


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "refusal", "sensitive", "content_filter: SPII"]
)
async def test_a_reason_that_means_withheld_marks_the_answer_or_is_a_problem(
    parley: Parley, model: ScriptedModel, reason: str
) -> None:
    model.replies = [Reply(body=[HELLO, end(reason), DONE]), Reply(body=[end(reason), DONE])]

    await parley.send("Hello!")
    response = await parley.send("Again!", message_id="message-2")

    assert (await parley.history())["messages"][1]["finish_reason"] == "content_filter"
    problem_of(response, 502, "answer_withheld")


async def test_the_usage_that_follows_the_finish_reason_is_stored(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [ENDED_WELL["a reason and usage, then comments for good"]]

    await parley.send("Hello!")

    answer = (await parley.history())["messages"][-1]
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (7, 2)


TOOL_ENDS = {
    "comments for good": Reply(body=[event(ADD_MILK), end("tool_calls")], beats=True),
    "done without a reason": Reply(body=[event(ADD_MILK), DONE]),
    "the reason stop": Reply(body=[event(ADD_MILK), end("stop"), DONE]),
    "the reason tool_use": Reply(body=[event(ADD_MILK), end("tool_use"), DONE]),
    "no stream, but a body": Reply(
        body=[
            json.dumps(
                {"choices": [{"message": ADD_MILK["choices"][0]["delta"], "finish_reason": "stop"}]}
            ).encode()
        ]
    ),
}


@pytest.mark.parametrize("form", TOOL_ENDS)
async def test_a_complete_call_is_run_whichever_way_the_stream_ends_well(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, form: str
) -> None:
    model.replies = [TOOL_ENDS[form], Reply(pieces=("Done",))]

    async with asyncio.timeout(20):
        assert text_of(await parley.send("Add milk", user="ann")) == "Done"

    assert tasks(database) == [("ann", "Milk")]


@pytest.mark.parametrize("reason", ["network_error", ""])
async def test_a_complete_call_of_a_stream_that_failed_is_not_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, reason: str
) -> None:
    model.replies = [Reply(body=[event(ADD_MILK), end(reason)])]

    await parley.send("Add milk", user="ann")

    assert tasks(database) == []


async def test_an_unreadable_event_is_counted_and_the_answer_goes_on(
    parley: Parley, model: ScriptedModel
) -> None:
    counters().take()
    model.replies = [ENDED_WELL["keep-alives and unreadable data among the events"]]

    await parley.send("Hello!")

    [(count, _)] = [
        cell for key, cell in counters().take().items() if key[0] == UNREADABLE_EVENTS.name
    ]
    assert count == 1


async def test_a_character_whose_bytes_or_halves_come_apart_is_whole_in_each_part(
    parley: Parley, model: ScriptedModel
) -> None:
    sent = 'data: {"choices": [{"delta": {"content": "é😀"}}]}\n\n'.encode()
    halves = [event(chunk(text="Hello \ud83d")), event(chunk(text="\ude00"))]
    model.replies = [Reply(body=[*(bytes([byte]) for byte in sent), *halves, end("stop"), DONE])]

    response = await parley.send("Hello!")

    deltas = [part["delta"] for part in parts_of(response) if part["type"] == "text-delta"]
    assert deltas == ["é😀", "Hello ", "😀"]
    assert await answer_of(parley) == ("é😀Hello 😀", "stop")


def thinks(delta: dict[str, Any], reason: str | None = None) -> bytes:
    """Return an event with a delta."""
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


@pytest.mark.parametrize(
    "delta", [{"reasoning_content": "Let me see."}, {"content": "<think>Let me see."}]
)
async def test_an_answer_that_is_nothing_but_thought_is_told_as_text(
    parley: Parley, model: ScriptedModel, delta: dict[str, Any]
) -> None:
    model.replies = [Reply(body=[thinks(delta), thinks({}, "stop"), DONE])]

    response = await parley.send("Hello!")

    assert text_of(response) == "Let me see."
    assert parts_of(response)[-1]["finishReason"] == "stop"
    assert await answer_of(parley) == ("Let me see.", "stop")


async def test_a_thought_between_tags_is_no_part_of_the_text_that_is_stored_and_sent_back(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(body=[text("<think>Let me see.</think>Hello"), end("stop"), DONE])]

    assert text_of(await parley.send("Hello!")) == "Hello"
    await parley.send("And now?", message_id="message-2")

    assert await answer_of(parley) == ("Hello, how are you?", "stop")
    assert "Let me see" not in json.dumps(model.requests[1])


async def test_a_signature_and_a_thought_go_back_with_the_call_that_they_came_with(
    parley: Parley, model: ScriptedModel
) -> None:
    signature = {"google": {"thought_signature": "sig"}}
    called = thinks({"tool_calls": [piece(MILK, index=0, id="a", extra_content=signature)]})
    model.replies = [
        Reply(body=[thinks({"reasoning_content": "Hm."}), called, end("tool_calls"), DONE]),
        Reply(pieces=("Done",)),
    ]

    await parley.send("Add milk", user="ann")

    *_, step, _ = model.requests[1]["messages"]
    assert step["reasoning_content"] == "Hm."
    assert step["tool_calls"][0]["extra_content"] == signature
