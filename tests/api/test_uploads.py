"""Uploads: files in one piece or several, which messages name by their links."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.api.test_cron_cleanup import CRON
from tests.api.test_cron_cleanup import PATH as CLEANUP
from tests.support.images import png_of_bytes
from tests.support.model_server import ScriptedModel
from tests.support.product import Parley, headers_of, problem_of, text_of

PNG = png_of_bytes(9000)
GUESTS = pytest.mark.environment(ANONYMOUS_FILES="true")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pieces be small."""
    monkeypatch.setattr("lib.chat.uploads.MIN_PIECE_BYTES", 1)


async def _post(
    parley: Parley, content: bytes, headers: Any = None, **query: object
) -> httpx2.Response:
    return await parley.client.post(
        "/api/files",
        params={name: str(value) for name, value in query.items()},
        content=content,
        headers=headers_of("ann") if headers is None else headers,
    )


async def _upload(
    parley: Parley, content: bytes, piece: int = 4000, user: str = "ann"
) -> dict[str, Any]:
    first = {"media_type": "image/png", "size": len(content), "filename": "large.png"}
    state: dict[str, Any] = {}
    for offset in range(0, len(content), piece):
        query = {"id": state["id"], "offset": state["received"]} if offset else first
        response = await _post(parley, content[offset : offset + piece], headers_of(user), **query)
        assert response.status_code in {201, 202}, response.text
        state = response.json()
    return state


async def _send(
    parley: Parley, url: str, message_id: str = "message-1", user: str = "ann"
) -> httpx2.Response:
    part = {"type": "file", "mediaType": "image/png", "url": url}
    message = {"id": message_id, "role": "user", "parts": [part]}
    return await parley.send("", messages=[message], user=user)


@pytest.mark.parametrize("piece", [9000, 4000, 3000, 8999])
async def test_a_file_comes_in_pieces_of_any_size_and_a_message_names_it(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, piece: int
) -> None:
    uploaded = await _upload(parley, PNG, piece)

    assert (uploaded["size"], uploaded["received"]) == (9000, 9000)
    assert (await parley.client.get(uploaded["url"])).content == PNG
    assert text_of(await _send(parley, uploaded["url"]))
    [image] = model.requests[0]["messages"][1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    stored = database.execute(
        "SELECT user_id, size, bytes, filename FROM chat_files WHERE NOT is_upload"
    ).fetchall()
    assert stored == [("ann", 9000, PNG, "large.png")]


async def test_an_upload_of_the_same_bytes_is_stored_once(
    parley: Parley, database: psycopg.Connection
) -> None:
    first = await _upload(parley, PNG, 4000)
    second = await _upload(parley, PNG, 3000)

    assert first["id"] == second["id"]
    assert database.execute("SELECT count(*) FROM chat_files WHERE NOT is_upload").fetchall() == [
        (1,)
    ]


async def test_a_piece_that_is_sent_again_changes_nothing(parley: Parley) -> None:
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, PNG[:4000], **first)).json()
    at = {"id": upload["id"], "offset": 4000}

    once = await _post(parley, PNG[4000:8000], **at)
    again = await _post(parley, PNG[4000:8000], **at)

    assert once.json() == again.json()
    assert again.json()["received"] == 8000


async def test_a_piece_at_the_wrong_place_is_told_where_to_go_on(parley: Parley) -> None:
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, PNG[:4000], **first)).json()

    refused = await _post(parley, PNG[5000:], id=upload["id"], offset=5000)

    [error] = problem_of(refused, 422, "invalid_request")["errors"]
    assert error["detail"] == "the upload has 4,000 bytes of 9,000: go on there"


@pytest.mark.parametrize(
    ("query", "content", "field"),
    [
        ({"media_type": "image/gif", "size": 9000}, PNG, ""),
        ({"media_type": "text/html", "size": 9000}, PNG, ""),
        ({"media_type": "video/mp4", "size": 9000}, PNG, "media_type"),
        ({"filename": "program", "size": 9000}, PNG, "media_type"),
        ({"media_type": "image/png", "size": 8999}, PNG, "size"),
        ({"media_type": "image/png", "size": 20_000_000}, PNG, "size"),
        ({"media_type": "image/png", "size": 8000}, PNG[:8000], ""),
        ({"media_type": "image/png"}, PNG, ""),
        ({"media_type": "image/png", "size": 9000}, b"", ""),
        ({"id": "x", "offset": 1}, PNG, "id"),
    ],
)
async def test_a_file_that_is_not_what_it_should_be_is_refused_and_not_stored(
    parley: Parley,
    database: psycopg.Connection,
    query: dict[str, object],
    content: bytes,
    field: str,
) -> None:
    refused = await _post(parley, content, **query)

    [error] = problem_of(refused, 422, "invalid_request")["errors"]
    assert error["field"] == field
    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(0,)]


async def test_a_damaged_file_in_pieces_is_refused_at_its_end_and_removed(
    parley: Parley, database: psycopg.Connection
) -> None:
    damaged = PNG[:-100] + bytes(100)
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, damaged[:5000], **first)).json()

    refused = await _post(parley, damaged[5000:], id=upload["id"], offset=5000)

    problem_of(refused, 422, "invalid_request")
    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(0,)]


async def test_an_upload_that_is_not_complete_cannot_be_opened_or_sent(parley: Parley) -> None:
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, PNG[:4000], **first)).json()
    link = f"/api/files?id={upload['id']}"

    assert upload["url"] is None
    problem_of(await parley.client.get(link, headers=headers_of("ann")), 404, "not_found")
    problem_of(await _send(parley, link), 422, "file_not_stored")


async def test_another_user_neither_continues_an_upload_nor_sends_it(parley: Parley) -> None:
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, PNG[:4000], **first)).json()
    done = await _upload(parley, PNG)

    at = {"id": upload["id"], "offset": 4000}
    refused = await _post(parley, PNG[4000:], headers_of("bob"), **at)

    problem_of(refused, 404, "not_found")
    problem_of(await _send(parley, done["url"], user="bob"), 422, "file_not_stored")


async def test_a_guest_needs_permission_for_files(parley: Parley) -> None:
    refused = await _post(parley, PNG, {}, media_type="image/png", size=9000)

    problem_of(refused, 401, "unauthenticated")


@GUESTS
async def test_a_guest_uploads_into_a_conversation_that_its_key_opens(parley: Parley) -> None:
    begun = (await parley.client.post("/api/conversations")).json()
    key = {"x-conversation-key": begun["key"]}
    await parley.send("Hello!", chat_id=begun["id"])
    query = {"media_type": "image/png", "size": 9000, "conversation_id": begun["id"]}

    uploaded = (await _post(parley, PNG, key, **query)).json()

    assert (await parley.client.get(uploaded["url"])).content == PNG
    problem_of(await _post(parley, PNG, {}, **query), 404, "not_found")
    without = {name: query[name] for name in ("media_type", "size")}
    problem_of(await _post(parley, PNG, key, **without), 422, "invalid_request")
    elsewhere = query | {"conversation_id": uuid4()}
    problem_of(await _post(parley, PNG, key, **elsewhere), 404, "not_found")


@pytest.mark.environment(BYTES_PER_DAY="10000")
async def test_uploads_count_to_the_bytes_of_the_day_and_use_up_no_message(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _upload(parley, PNG)

    refused = await _post(parley, PNG, media_type="image/png", size=9000)

    problem = problem_of(refused, 429, "storage_quota_exceeded")
    assert "more than you may in a day" in problem["detail"]
    counted = database.execute("SELECT byte_count, minute_count, day_count FROM quotas").fetchall()
    assert counted == [(9000, 0, 0)]


@pytest.mark.environment(MAX_USER_BYTES="10000")
async def test_uploads_count_to_the_bytes_of_a_user(parley: Parley) -> None:
    await _upload(parley, PNG)

    refused = await _post(parley, png_of_bytes(2000), media_type="image/png", size=2000)

    problem = problem_of(refused, 422, "file_storage_full")
    assert "of which 1,000 are left" in problem["detail"]


async def test_an_upload_without_a_message_is_deleted_a_day_later(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _upload(parley, PNG)
    sent = await _upload(parley, png_of_bytes(5000))
    await _send(parley, sent["url"])

    await parley.client.get(CLEANUP, headers=CRON)
    # Each also has the row of its upload.
    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(4,)]
    database.execute("UPDATE chat_files SET created_at = now() - interval '25 hours'")
    await parley.client.get(CLEANUP, headers=CRON)

    assert database.execute("SELECT size FROM chat_files").fetchall() == [(5000,)]


async def test_a_file_that_is_uploaded_again_is_kept_for_a_day_from_then(
    parley: Parley, database: psycopg.Connection
) -> None:
    for piece in (9000, 4000):
        await _upload(parley, PNG, piece)
        database.execute("UPDATE chat_files SET created_at = now() - interval '25 hours'")
        again = await _upload(parley, PNG, piece)

        await parley.client.get(CLEANUP, headers=CRON)

        assert text_of(await _send(parley, again["url"], message_id=f"message-{piece}"))


@pytest.mark.environment(MAX_USER_BYTES="10000")
async def test_a_file_that_is_there_already_needs_no_further_storage(parley: Parley) -> None:
    first = await _upload(parley, PNG, 9000)

    assert (await _upload(parley, PNG, 9000))["id"] == first["id"]


async def test_the_last_piece_may_be_sent_again_after_the_file_is_complete(
    parley: Parley, database: psycopg.Connection
) -> None:
    first = {"media_type": "image/png", "size": 9000}
    upload = (await _post(parley, PNG[:5000], **first)).json()
    last = {"id": upload["id"], "offset": 5000}

    answers = await asyncio.gather(*(_post(parley, PNG[5000:], **last) for _ in range(4)))
    answers.append(await _post(parley, PNG[5000:], **last))

    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await parley.client.get(answers[-1].json()["url"])).content == PNG
    assert database.execute("SELECT sum(length(bytes)) FROM chat_files").fetchall() == [(9000,)]


async def test_a_piece_for_a_complete_file_changes_nothing(parley: Parley) -> None:
    file = await _upload(parley, PNG, 9000)
    assert text_of(await _send(parley, file["url"]))

    refused = await _post(parley, b"x", id=file["id"], offset=8999)

    problem_of(refused, 404, "not_found")
    assert (await parley.client.get(file["url"])).content == PNG


async def test_an_upload_whose_bytes_are_complete_is_no_file_before_it_is_checked(
    parley: Parley, database: psycopg.Connection
) -> None:
    first = {"media_type": "text/plain", "size": 9000}
    upload = (await _post(parley, b"a" * 5000, **first)).json()
    # As if the function had been killed after it had added the last piece.
    database.execute("UPDATE chat_files SET bytes = bytes || %s", [bytes(4000)])
    part = {"type": "file", "mediaType": "text/plain", "url": f"/api/files?id={upload['id']}"}
    message = {"id": "message-1", "role": "user", "parts": [part]}

    sent = await parley.send("", messages=[message], user="ann")

    problem_of(sent, 422, "file_not_stored")
    problem_of(await parley.get("/api/files", user="ann", id=upload["id"]), 404, "not_found")
    again = await _post(parley, bytes(4000), id=upload["id"], offset=5000)
    problem_of(again, 422, "invalid_request")
    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(0,)]


@pytest.mark.environment(BYTES_PER_DAY="10000")
async def test_an_upload_over_the_bytes_of_the_day_is_told_when_to_come_back(
    parley: Parley,
) -> None:
    await _upload(parley, PNG, 9000)

    refused = await _post(parley, png_of_bytes(2000), media_type="image/png", size=2000)

    problem_of(refused, 429, "storage_quota_exceeded")
    assert 86_000 <= int(refused.headers["retry-after"]) <= 86_400
    large = png_of_bytes(10_001)
    refused = await _post(parley, large, media_type="image/png", size=len(large))
    problem_of(refused, 429, "storage_quota_exceeded")
    assert "retry-after" not in refused.headers


async def test_an_account_that_ends_leaves_no_upload(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _upload(parley, PNG)

    await parley.client.request("DELETE", "/api/auth", headers=headers_of("ann"))

    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(0,)]


async def test_a_body_that_is_larger_than_a_piece_is_refused(parley: Parley) -> None:
    content = bytes(4 * 1024 * 1024 + 1)

    refused = await _post(parley, content, media_type="image/png", size=len(content))

    problem_of(refused, 413, "payload_too_large")
