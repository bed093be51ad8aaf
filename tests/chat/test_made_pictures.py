"""Pictures that the model makes: `file` parts of the stream and of history, checked and bounded."""

import base64
import json
import logging
from typing import Any

import pytest

from lib.answers._files.made import MAX_MADE_BYTES
from tests.support.images import IMAGES, data_url, png_of_bytes
from tests.support.logs import events_of
from tests.support.model_server import Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import Parley, parts_of, problem_of, text_of

PNG, JPEG = IMAGES["PNG"][1], IMAGES["JPEG"][1]
SHOWN = {"type": "file", "mediaType": "image/png", "url": data_url("image/png", PNG)}


def picture(content: bytes, media_type: str = "image/png") -> dict[str, Any]:
    """Return a picture as OpenRouter sends it."""
    return {"type": "image_url", "image_url": {"url": data_url(media_type, content)}}


def drawing(*pictures: dict[str, Any], text: str = "", before: str = "") -> Reply:
    """Return a reply with a text before the pictures and one after them."""
    chunks = [chunk({"content": before})] if before else []
    chunks += [chunk({"role": "assistant", "content": "", "images": [*pictures]})]
    chunks += [chunk({"content": text})] if text else []
    return Reply(chunks=[*chunks, chunk({}, "stop")])


def whole(message: dict[str, Any]) -> Reply:
    """Return a reply that is one object instead of a stream."""
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}
    return Reply(body=[json.dumps({"model": "m", "choices": [choice]}).encode()])


def kinds(message: dict[str, Any]) -> list[str]:
    """Return the types of the parts of a message in history."""
    return [part["type"] for part in message["parts"]]


@pytest.mark.parametrize(
    "reply",
    [
        drawing(picture(PNG)),
        drawing(picture(PNG, "image/jpeg")),
        whole({"content": None, "images": [picture(PNG)]}),
        Reply(chunks=[chunk({"content": [picture(PNG)]}), chunk({}, "stop")]),
        Reply(chunks=[chunk({"images": [{"image_url": data_url("image/png", PNG)}]}, "stop")]),
        Reply(chunks=[chunk({"images": [{"b64_json": base64.b64encode(PNG).decode()}]}, "stop")]),
        Reply(chunks=[*[chunk({"images": [picture(PNG)]})] * 2, chunk({}, "stop")]),
        Reply(chunks=[chunk({"reasoning": "A cat."}), *(drawing(picture(PNG)).chunks or [])]),
    ],
    ids=["delta", "wrong type", "message", "block", "url alone", "base64", "twice", "thought"],
)  # fmt: skip
async def test_an_answer_that_is_nothing_but_a_picture_is_an_answer(
    parley: Parley, model: ScriptedModel, reply: Reply
) -> None:
    model.replies = [reply]

    parts = parts_of(await parley.send("Draw a cat", user="ann"))

    [file] = [part for part in parts if part["type"] == "file"]
    assert await parley.opened(file) == SHOWN
    assert parts[-1]["finishReason"] == "stop"
    answer = (await parley.history(user="ann"))["messages"][1]
    assert answer["parts"][-1] == file
    assert answer["content"] == ""


async def test_pictures_and_texts_stand_in_the_order_in_which_they_came(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [drawing(picture(PNG), picture(JPEG), before="Before", text="After")]

    parts = parts_of(await parley.send("Draw", user="ann"))

    order = [part["type"] for part in parts if part["type"] in {"text-start", "file"}]
    assert order == ["text-start", "file", "file", "text-start"]
    answer = (await parley.history(user="ann"))["messages"][1]
    assert kinds(answer) == ["step-start", "text", "file", "file", "text"]
    assert answer["content"] == "Before\n\nAfter"


async def test_a_large_picture_that_comes_in_many_packets_is_shown_whole(
    parley: Parley, model: ScriptedModel
) -> None:
    content = png_of_bytes(4_000_000)
    model.replies = [drawing(picture(content))]

    await parley.send("Draw", user="ann")

    answer = (await parley.history(user="ann"))["messages"][1]
    shown = await parley.opened(answer["parts"][-1])
    assert shown["url"] == data_url("image/png", content)


async def test_later_requests_have_a_word_in_the_place_of_a_picture_that_the_model_made(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [drawing(picture(PNG)), drawing(picture(PNG), before="Here:"), Reply()]
    for number in (1, 2, 3):
        await parley.send("Draw", message_id=f"message-{number}", user="ann")

    said = [each for each in model.requests[-1]["messages"] if each["role"] == "assistant"]
    assert said == [
        {"role": "assistant", "content": "[image]"},
        {"role": "assistant", "content": "Here:\n\n[image]"},
    ]


@pytest.mark.parametrize(
    "bad",
    [
        picture(PNG[:-1]),
        picture(b"<svg onload=alert(1)>", "image/svg+xml"),
        picture(b""),
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
        {"type": "image_url", "image_url": {"url": "not base64!"}},
        {"type": "image_url"},
        5,
    ],
    ids=["cut", "svg", "empty", "link", "no base64", "garbage", "nothing", "number"],
)
async def test_a_picture_that_is_no_whole_picture_is_left_out_and_counted(
    parley: Parley, model: ScriptedModel, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model.replies = [drawing(bad, picture(PNG), text="There.")]

    assert text_of(await parley.send("Draw", user="ann")) == "There."

    answer = (await parley.history(user="ann"))["messages"][1]
    assert kinds(answer) == ["step-start", "file", "text"]
    [event] = events_of(caplog, "model_files_left_out")
    assert event["count"] == 1


async def test_an_answer_has_ten_pictures_and_sixteen_megabytes_at_most(
    parley: Parley, model: ScriptedModel
) -> None:
    many = [picture(png_of_bytes(1000 + number)) for number in range(12)]
    large = [picture(png_of_bytes(MAX_MADE_BYTES // 3 + number)) for number in range(4)]
    each_alone = [chunk({"images": [one]}) for one in large]
    model.replies = [drawing(*many), Reply(chunks=[*each_alone, chunk({}, "stop")])]

    await parley.send("Draw", user="ann")
    await parley.send("Draw", message_id="message-2", user="ann")

    messages = (await parley.history(user="ann"))["messages"]
    assert [kinds(messages[place]).count("file") for place in (1, 3)] == [10, 2]


async def test_a_reply_whose_only_picture_is_broken_is_no_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [drawing(picture(PNG[:-1]))]

    problem_of(await parley.send("Draw", user="ann"), 502, "model_failed")


async def test_of_sound_the_words_are_the_text(
    parley: Parley, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sounds = [
        {"id": "a", "transcript": "Hello"},
        {"data": "UklGRg==", "transcript": " there."},
        {"expires_at": 5},
    ]
    model.replies = [
        Reply(chunks=[*(chunk({"audio": each}) for each in sounds), chunk({}, "stop")])
    ]

    assert text_of(await parley.send("Say it", user="ann")) == "Hello there."

    [event] = events_of(caplog, "model_files_left_out")
    assert event["count"] == 1


async def test_a_picture_beside_a_tool_call_is_shown_once(
    parley: Parley, model: ScriptedModel
) -> None:
    call = calling(Called("add_task", {"title": "Milk"}))
    chunks = [chunk({"content": "", "images": [picture(PNG)]}), *(call.chunks or [])]
    model.replies = [Reply(chunks=chunks), Reply(pieces=("Done.",))]

    await parley.send("Draw and add milk", user="ann")

    answer = (await parley.history(user="ann"))["messages"][1]
    assert kinds(answer) == ["step-start", "file", "tool-add_task", "step-start", "text"]
    step = model.requests[-1]["messages"][2]
    assert step["content"] == "[image]"
