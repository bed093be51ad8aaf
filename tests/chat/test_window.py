"""The window of messages moves seldom, because providers bill a repeated beginning less."""

import json
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, headers_of
from tests.support.responses_model import ResponsesModel, called, responding, said, thought

TURNS = 30


def moves(requests: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the requests that do not begin with the bytes of the one before."""
    told = [request.get("messages") or request["input"] for request in requests]
    texts = [json.dumps(messages).removesuffix("]") for messages in told]
    return [
        number for number in range(1, len(texts)) if not texts[number].startswith(texts[number - 1])
    ]


@pytest.mark.parametrize(
    ("history_messages", "turns_between"),
    [
        pytest.param(20, 5, marks=pytest.mark.environment(HISTORY_MESSAGES="20")),
        pytest.param(8, 2, marks=pytest.mark.environment(HISTORY_MESSAGES="8")),
    ],
)
async def test_requests_begin_with_the_bytes_of_the_one_before_but_when_the_window_moves(
    parley: Parley, model: ScriptedModel, history_messages: int, turns_between: int
) -> None:
    for number in range(TURNS):
        await parley.send(f"Question {number}", message_id=f"message-{number}")

    moved = moves(model.requests)
    assert moved
    assert {after - before for before, after in pairwise(moved)} == {turns_between}
    for request in model.requests:
        _, *told = request["messages"]
        assert told[0]["role"] == "user"
        assert len(told) <= history_messages
    for request in model.requests[history_messages // 2 :]:
        assert len(request["messages"]) - 1 > history_messages // 2


@pytest.mark.environment(HISTORY_MESSAGES="1")
async def test_a_window_of_one_message_is_the_question(
    parley: Parley, model: ScriptedModel
) -> None:
    for number in range(3):
        await parley.send(f"Question {number}", message_id=f"message-{number}")

    assert [request["messages"][1:] for request in model.requests] == [
        [{"role": "user", "content": f"Question {number}"}] for number in range(3)
    ]


async def test_the_request_after_a_tool_turn_begins_with_the_bytes_of_that_turn(
    parley: Parley, model: ScriptedModel
) -> None:
    # In no order of its own: neither by name nor by length.
    task = '{"title": "Milk", "completed": false, "description": "Two bottles"}'
    model.replies = [calling(Called("add_task", task)), Reply()]
    await parley.send("Add milk", user="ann")

    await parley.send("And now?", message_id="message-2", user="ann")

    assert len(model.requests) == 3
    assert moves(model.requests) == []


async def talk(parley: Parley, database: psycopg.Connection) -> None:
    """Have a conversation in which all changes that may: style, tools, instructions and marks.

    The model calls a tool in the first answer, and must in the second.
    """
    await parley.send("Add milk", user="ann", tone="casual")
    await parley.send("Add bread", message_id="message-2", user="ann", tool_choice="add_task")
    history = await parley.history(user="ann")
    for number, answer in enumerate([1, 3], start=3):
        where = {"id": history["messages"][answer]["id"], "conversation_id": CHAT_ID}
        mark = {"is_mistake": True, "mistake_note": "No."}
        headers = headers_of("ann")
        await parley.client.patch("/api/messages", params=where, json=mark, headers=headers)
        await parley.send(f"Question {number}", message_id=f"message-{number}", user="ann")
    database.execute("""
        INSERT INTO chat_messages (conversation_id, user_id, role, content)
        SELECT id, user_id, 'system', 'Answer in one word.' FROM conversations
    """)
    style = {"tone": "technical", "behavior": "cautious"}
    await parley.send("Question 5", message_id="message-5", user="ann", **style)
    await parley.send("Question 6", message_id="message-6", user="ann", **style)


def check_beginnings(requests: list[dict[str, Any]]) -> None:
    """Check that each request of `talk` begins with the bytes of the one before, tools included."""
    assert len(requests) == 8
    assert moves(requests) == []
    assert all(request["tools"] == requests[0]["tools"] for request in requests)
    last = json.dumps(requests[-1])
    for changed in ("casual", "technical", "sure of", "mistake: No.", "Answer in one word."):
        assert changed in last


ADD, FORCED = (Called("add_task", {"title": "Buy milk"}, f"call_{name}") for name in "ab")


async def test_changes_in_a_conversation_leave_the_beginning_of_a_request_as_it_was(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(ADD, text="One moment."), Reply(), calling(FORCED), Reply()]

    await talk(parley, database)

    check_beginnings(model.requests)


@pytest.mark.environment(OPENAI_API="responses")
async def test_changes_in_a_conversation_leave_the_beginning_of_an_input_as_it_was(
    parley: Parley, responses: ResponsesModel, database: psycopg.Connection
) -> None:
    responses.replies = [
        responding(thought("Hm"), said("One moment."), called(ADD)),
        responding(thought(), said("Done.")),
        responding(thought(), called(FORCED)),
        *(responding(thought(), said(f"Answer {number}.")) for number in range(5)),
    ]

    await talk(parley, database)

    check_beginnings(responses.requests)


def images_in(request: dict[str, Any]) -> list[str]:
    """Return the URLs of the images in a request."""
    parts: list[dict[str, Any]] = []
    for message in request["messages"]:
        parts += message["content"] if isinstance(message["content"], list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


@pytest.mark.parametrize(
    ("images_a_turn", "most_moves"),
    [
        # No more than the window moves alone: every second turn, every fifth.
        pytest.param(1, 6, marks=pytest.mark.environment(HISTORY_MESSAGES="8")),
        pytest.param(1, 2),
        pytest.param(2, 3),
        # Twice in five turns.
        pytest.param(3, 6),
        # A question's own images are as many as a prompt may have.
        pytest.param(10, 15),
    ],
)
async def test_the_newest_images_are_sent_and_the_beginning_of_a_request_stays(
    parley: Parley, model: ScriptedModel, images_a_turn: int, most_moves: int
) -> None:
    sent: list[list[str]] = []
    for turn in range(16):
        urls = [f"https://example.com/{turn}-{number}.png" for number in range(images_a_turn)]
        files = [{"type": "file", "mediaType": "image/png", "url": url} for url in urls]
        message = {"id": f"message-{turn}", "role": "user", "parts": files}
        await parley.send("", messages=[message], message_id=f"message-{turn}", user="ann")
        sent.append(urls)

    shown = [images_in(request) for request in model.requests]
    assert all(len(images) <= 10 for images in shown)
    assert all(images[-len(urls) :] == urls for images, urls in zip(shown, sent, strict=True))
    for before, after in pairwise(shown):
        # An image that was left out never comes back.
        assert set(after) - set(before) <= set(after[-images_a_turn:])
    assert len(moves(model.requests)) <= most_moves


@pytest.mark.environment(MAX_PROMPT_IMAGES="1")
async def test_a_text_stands_for_an_image_that_is_left_out(
    parley: Parley, model: ScriptedModel
) -> None:
    for name in ("cat", "dog"):
        file = {"type": "file", "mediaType": "image/png", "url": f"https://example.com/{name}.png"}
        parts = [{"type": "text", "text": f"The {name}"}, file]
        message = {"id": name, "role": "user", "parts": parts}
        await parley.send("", messages=[message], user="ann")

    first, _, second = model.requests[-1]["messages"][1:]
    assert first["content"] == "The cat\n\n[image]"
    assert [part["type"] for part in second["content"]] == ["text", "image_url"]
