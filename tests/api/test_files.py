"""Images in messages: sent to the model, stored, and shown in history."""

import asyncio
import json
from typing import Any

import anyio.to_thread
import httpx2
import psycopg
import pytest

from tests.node.sdk import VERSIONS, Version, validate_messages
from tests.support.images import file_part, png_of_bytes
from tests.support.model_server import ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, text_of

CAT = {"type": "file", "mediaType": "image/png", "url": "https://example.com/cat.png"}
DOG = CAT | {"url": "https://example.com/dog.png", "filename": "Dog 🐕.png"}
PIXEL = {
    "type": "file",
    "mediaType": "image/gif",
    "url": "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
}


def text(content: str) -> dict[str, str]:
    """Return a text part."""
    return {"type": "text", "text": content}


@pytest.mark.parametrize("image", [CAT, DOG], ids=["https", "named"])
async def test_the_model_gets_an_image_and_history_shows_it(
    parley: Parley, model: ScriptedModel, image: dict[str, str]
) -> None:
    await _send(parley, text("What is this?"), image)

    assert model.requests[0]["messages"][1] == {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": image["url"]}},
        ],
    }
    question = (await parley.history(user="ann"))["messages"][0]
    assert question["parts"] == [text("What is this?"), image]
    assert json.dumps(question).count(image["url"]) == 1
    assert "files" not in question


async def test_an_image_alone_is_a_message(parley: Parley, model: ScriptedModel) -> None:
    response = await _send(parley, CAT)

    assert text_of(response) == "Hello, how are you?"
    [image] = model.requests[0]["messages"][1]["content"]
    assert image == {"type": "image_url", "image_url": {"url": CAT["url"]}}
    question = (await parley.history(user="ann"))["messages"][0]
    assert (question["content"], question["parts"]) == ("", [CAT])


async def test_later_turns_send_the_image_again_in_its_message(
    parley: Parley, model: ScriptedModel
) -> None:
    await _send(parley, text("What is this?"), CAT, DOG)
    await parley.send("And its name?", message_id="message-2", user="ann")

    _, first, _, second = model.requests[-1]["messages"]
    assert [part["type"] for part in first["content"]] == ["text", "image_url", "image_url"]
    assert second["content"] == "And its name?"


async def test_a_mark_reaches_the_model_beside_an_image(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.send("Hello!", user="ann")
    answer = (await parley.history(user="ann"))["messages"][1]["id"]
    where = {"id": answer, "conversation_id": CHAT_ID}
    mark = {"is_mistake": True}
    headers = headers_of("ann")
    await parley.client.patch("/api/messages", params=where, json=mark, headers=headers)

    await _send(parley, CAT, message_id="message-2")

    remark, image = model.requests[-1]["messages"][-1]["content"]
    assert remark["text"].startswith("[I marked your last answer as a mistake]")
    assert image["image_url"]["url"] == CAT["url"]


async def test_a_message_sent_again_with_the_same_image_gets_its_stored_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    first = await _send(parley, text("What is this?"), CAT)
    again = await _send(parley, text("What is this?"), CAT)

    assert again.headers["idempotent-replayed"] == "true"
    assert text_of(again) == text_of(first)
    assert len(model.requests) == 1


@pytest.mark.parametrize("parts", [[DOG], [CAT, DOG], [DOG, CAT], []])
async def test_a_message_sent_again_with_other_images_is_an_edit(
    parley: Parley, model: ScriptedModel, parts: list[dict[str, str]]
) -> None:
    await _send(parley, text("What is this?"), CAT)

    response = await _send(parley, text("What is this?"), *parts)

    assert "idempotent-replayed" not in response.headers
    assert len(model.requests) == 2
    history = (await parley.history(user="ann"))["messages"]
    assert len(history) == 2
    assert history[0]["parts"] == [text("What is this?"), *parts]


async def test_regenerating_while_another_process_answers_keeps_the_image(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await _send(parley, text("What is this?"), CAT)
    # Another process still holds the turn for a moment.
    database.execute("""
        UPDATE conversations SET turn_id = gen_random_uuid(), turn_message_id = 'message-1',
            turn_expires_at = now() + interval '0.5 seconds'
    """)

    body: dict[str, Any] = {"id": CHAT_ID, "messages": [], "trigger": "regenerate-message"}
    async with asyncio.timeout(20):
        response = await parley.client.post("/api/chat", json=body, headers=headers_of("ann"))

    assert response.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1
    history = (await parley.history(include="all", user="ann"))["messages"]
    assert [len(message["parts"]) for message in history] == [2, 2]


@pytest.mark.environment(MAX_FILE_BYTES="3000000")
async def test_an_image_may_be_as_large_as_the_body_limit(
    parley: Parley, model: ScriptedModel
) -> None:
    image = file_part("image/png", png_of_bytes(3_000_000))

    await _send(parley, image)

    [sent] = model.requests[0]["messages"][1]["content"]
    assert sent["image_url"]["url"] == image["url"]


async def test_an_expired_image_reaches_neither_its_user_nor_the_model(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await _send(parley, CAT)
    database.execute("UPDATE chat_messages SET created_at = now() - interval '31 days'")

    await parley.send("Hello!", message_id="message-2", user="ann")

    assert "cat.png" not in json.dumps(model.requests[-1])
    assert "cat.png" not in json.dumps(await parley.history(user="ann"))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"ai{version}")
async def test_the_ai_sdk_accepts_history_with_images(parley: Parley, version: Version) -> None:
    await _send(parley, text("What is this?"), CAT, DOG, metadata={"page": 1})
    await _send(parley, PIXEL, message_id="message-2")
    messages = (await parley.history(user="ann"))["messages"]

    assert await anyio.to_thread.run_sync(validate_messages, version, messages) is None


async def _send(
    parley: Parley, *parts: dict[str, str], message_id: str = "message-1", **more: Any
) -> httpx2.Response:
    message = {"id": message_id, "role": "user", "parts": [*parts]} | more
    response = await parley.send("", messages=[message], user="ann")
    assert response.status_code == 200, response.text
    return response
