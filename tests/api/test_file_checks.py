"""Files that are refused: the problem says why, and nothing is stored."""

import json
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.images import IMAGES, data_url, file_part, png, png_of_bytes
from tests.support.model_server import ScriptedModel
from tests.support.product import Parley, problem_of, rows_stored

CAT = {"type": "file", "mediaType": "image/png", "url": "https://example.com/cat.png"}
GIF = file_part(*IMAGES["GIF"])
MEGABYTE = 1_000_000
WHOLE = "url must have a whole"
NOT_PUBLIC = "url must have a host on the public internet"


async def send(parley: Parley, *files: dict[str, str], user: str | None = "ann") -> httpx2.Response:
    """Send a message with a text and files."""
    parts = [{"type": "text", "text": "What is this?"}, *files]
    return await parley.send(
        "", messages=[{"id": "message-1", "role": "user", "parts": parts}], user=user
    )


@pytest.mark.parametrize(
    ("file", "why"),
    [
        pytest.param(file_part("image/png", IMAGES["PNG"][1][:-1]), WHOLE, id="cut off"),
        pytest.param(file_part("image/gif", GIF["url"].encode()), "begins like no", id="no image"),
        pytest.param(file_part("image/png", IMAGES["JPEG"][1]), "begins like no", id="other type"),
        pytest.param(file_part("image/webp", IMAGES["WebP"][1] + b"PK"), WHOLE, id="appendix"),
        pytest.param(file_part("image/png", png(9000, 1)), "9000 x 1 pixels", id="too wide"),
        pytest.param(GIF | {"url": GIF["url"] + "\n"}, "canonical base64", id="odd base64"),
        pytest.param(
            GIF | {"url": data_url("image/gif", b"").replace("base64,", "base64;,")},
            "url must be https://",
            id="odd header",
        ),
        pytest.param(GIF | {"url": GIF["url"].replace(";base64", "")}, "url must be", id="text"),
        pytest.param(CAT | {"url": "http://example.com/cat.png"}, "must be https", id="http"),
        pytest.param(CAT | {"url": "https://169.254.169.254/latest"}, NOT_PUBLIC, id="metadata"),
        pytest.param(CAT | {"url": "https://10.0.0.5/"}, NOT_PUBLIC, id="private address"),
        pytest.param(CAT | {"url": "https://2130706433/"}, NOT_PUBLIC, id="loopback as a number"),
        pytest.param(CAT | {"url": "https://localhost/"}, NOT_PUBLIC, id="this machine"),
        pytest.param(CAT | {"url": "https://ann@example.com/"}, "without a user", id="user"),
    ],
)
async def test_a_file_that_is_refused_leaves_nothing_behind(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    file: dict[str, str],
    why: str,
) -> None:
    before = rows_stored(database)

    problem = problem_of(await send(parley, file), 422, "invalid_request")

    [error] = problem["errors"]
    assert error["field"] == "messages.0.parts.1"
    assert why in error["detail"]
    assert rows_stored(database) == before
    assert model.requests == []


@pytest.mark.parametrize("kind", IMAGES)
async def test_a_small_image_of_each_kind_is_stored_as_it_is(parley: Parley, kind: str) -> None:
    image = file_part(*IMAGES[kind])

    assert (await send(parley, image)).status_code == 200

    question = (await parley.history(user="ann"))["messages"][0]
    assert await parley.opened(question["parts"][1]) == image


@pytest.mark.parametrize(
    "file", [CAT, GIF, CAT | {"url": "nothing"}, {"type": "file"}], ids=["https", "data", "bad", ""]
)
async def test_a_guest_sends_no_file(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, file: dict[str, str]
) -> None:
    before = rows_stored(database)

    problem = problem_of(await send(parley, file, user=None), 401, "unauthenticated")

    assert problem["detail"] == "Sign in to send files."
    assert rows_stored(database) == before
    assert model.requests == []


async def test_a_guest_edits_no_file_into_a_message_and_regenerates_none(parley: Parley) -> None:
    await parley.send("Hello!")
    message = {"id": "message-1", "role": "user", "parts": [CAT]}

    for trigger in ("submit-message", "regenerate-message"):
        response = await parley.send("", messages=[message], trigger=trigger)
        problem_of(response, 401, "unauthenticated")

    assert await parley.said() == ["Hello!", "Hello, how are you?"]


@pytest.mark.environment(ANONYMOUS_FILES="true")
async def test_the_operator_may_open_files_to_guests(parley: Parley, model: ScriptedModel) -> None:
    assert (await send(parley, CAT, GIF, user=None)).status_code == 200

    assert len(model.requests[0]["messages"][1]["content"]) == 3
    problem_of(await send(parley, CAT | {"url": "https://10.1"}, user=None), 422, "invalid_request")


@pytest.mark.environment(MAX_FILE_BYTES="1500000")
@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        ([1_500_000], None),
        ([MEGABYTE, 500_000], None),
        ([1_500_001], "messages.0.parts.1"),
        ([2_900_000], "messages.0.parts.1"),
        ([MEGABYTE, 500_001], "messages.0.parts"),
        ([150_001] * 10, "messages.0.parts"),
    ],
)
async def test_the_images_of_a_message_have_one_and_a_half_megabytes_together(
    parley: Parley, database: psycopg.Connection, sizes: list[int], field: str | None
) -> None:
    before = rows_stored(database)

    response = await send(parley, *[file_part("image/png", png_of_bytes(size)) for size in sizes])

    if field is None:
        assert response.status_code == 200
        return
    [error] = problem_of(response, 422, "invalid_request")["errors"]
    assert error["field"] == field
    assert "must have at most 1500000 bytes of data" in error["detail"]
    assert rows_stored(database) == before


@pytest.mark.environment(MAX_FILE_BYTES="0")
async def test_the_operator_may_take_images_by_url_alone(parley: Parley) -> None:
    assert (await send(parley, CAT)).status_code == 200
    problem_of(await send(parley, GIF), 422, "invalid_request")


@pytest.mark.environment(IMAGE_HOSTS="images.example.app")
async def test_the_operator_may_name_the_hosts_of_images(parley: Parley) -> None:
    problem = problem_of(await send(parley, CAT), 422, "invalid_request")
    assert "images.example.app" in problem["errors"][0]["detail"]

    response = await send(parley, CAT | {"url": "https://images.example.app/cat.png"})
    assert response.status_code == 200


@pytest.mark.environment(MAX_PROMPT_IMAGES="2")
async def test_a_message_has_no_more_images_than_a_prompt(parley: Parley) -> None:
    problem = problem_of(await send(parley, CAT, CAT, GIF), 422, "invalid_request")

    [error] = problem["errors"]
    assert error == {
        "field": "messages.0.parts", "detail": "must have at most 2 images and PDFs, and has 3"
    }  # fmt: skip
    assert (await send(parley, CAT, GIF)).status_code == 200


async def test_countless_parts_and_messages_are_refused_without_being_read(
    parley: Parley, database: psycopg.Connection
) -> None:
    before = rows_stored(database)
    bad: dict[str, Any] = {"type": "data", "url": 1}

    parts = problem_of(await send(parley, *[bad] * 100_000), 422, "invalid_request")
    messages = await parley.send("", messages=[0] * 1_000_000)

    assert [error["field"] for error in parts["errors"]] == ["messages.0.parts"]
    assert len(json.dumps(parts)) < 1000
    assert problem_of(messages, 422, "invalid_request")["errors"][0]["field"] == "messages.999999"
    assert rows_stored(database) == before
