"""Files of messages: bytes stored once, behind links that their owner alone can open."""

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from lib.files.file import FileOwner
from tests.support.images import file_part, png_of_bytes
from tests.support.model_server import Reply, ScriptedModel, chunk
from tests.support.product import CHAT_ID, Parley, headers_of, id_of, problem_of, text_of
from tests.support.reading import sending, until

PNG = png_of_bytes(3000)
PICTURE = file_part("image/png", PNG)
OTHER = file_part("image/png", png_of_bytes(4000))
GUESTS = pytest.mark.environment(ANONYMOUS_FILES="true")


async def _send(
    parley: Parley,
    *parts: dict[str, Any],
    user: str | None = "ann",
    message_id: str = "message-1",
    chat_id: str = CHAT_ID,
) -> httpx2.Response:
    message = {"id": message_id, "role": "user", "parts": [*parts]}
    return await parley.send("", messages=[message], user=user, chat_id=chat_id)


async def _files(parley: Parley, user: str | None = "ann", chat_id: str = CHAT_ID) -> list[Any]:
    """Return the file parts of a conversation's messages."""
    messages = (await parley.history(chat_id, user=user))["messages"]
    return [part for each in messages for part in each["parts"] if part["type"] == "file"]


async def _link(parley: Parley, user: str | None = "ann", chat_id: str = CHAT_ID) -> str:
    [file] = await _files(parley, user, chat_id)
    return file["url"]


def _plain(link: str) -> str:
    return link.partition("&expires")[0]


def _stored(database: psycopg.Connection) -> Sequence[tuple[Any, ...]]:
    return database.execute("SELECT user_id, size, bytes FROM chat_files ORDER BY size").fetchall()


async def test_history_has_a_link_in_place_of_the_bytes_and_the_link_opens_the_file(
    parley: Parley, database: psycopg.Connection
) -> None:
    response = await _send(parley, PICTURE | {"filename": "Katze 🐈.png"})
    assert text_of(response)

    [file] = await _files(parley)
    opened = await parley.client.get(file["url"])

    assert file == {
        "type": "file",
        "mediaType": "image/png",
        "filename": "Katze 🐈.png",
        "url": file["url"],
    }
    assert re.fullmatch(
        r"/api/files\?id=[0-9a-f-]{36}&conversation_id=[0-9a-f-]{36}&expires=\d{10}"
        r"&signature=[0-9a-f]{32}",
        file["url"],
    )
    assert (opened.status_code, opened.content) == (200, PNG)
    assert _stored(database) == [("ann", 3000, PNG)]
    [(files,)] = database.execute("SELECT files FROM chat_messages WHERE role = 'user'").fetchall()
    assert len(json.dumps(files)) < 200


async def test_a_file_is_shown_without_a_chance_to_run_scripts(parley: Parley) -> None:
    await _send(parley, PICTURE | {"filename": 'a"b\r\n.png'})

    headers = (await parley.client.get(await _link(parley))).headers

    expected = {
        "content-type": "image/png",
        "content-disposition": "inline; filename*=UTF-8''a%22b.png",
        "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "private, max-age=3600",
    }
    assert {name: headers[name] for name in expected} == expected


async def test_a_file_that_is_no_picture_is_downloaded(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    database.execute("UPDATE chat_files SET media_type = 'text/html'")

    headers = (await parley.client.get(await _link(parley))).headers

    assert headers["content-type"] == "text/html"
    assert headers["content-disposition"] == "attachment"


async def test_the_owner_opens_the_plain_link_by_token_and_no_other_caller_does(
    parley: Parley,
) -> None:
    await _send(parley, PICTURE)
    plain = _plain(await _link(parley))

    own = await parley.client.get(plain, headers=headers_of("ann"))

    assert own.content == PNG
    for user in ("bob", None):
        problem_of(await parley.client.get(plain, headers=headers_of(user)), 404, "not_found")


async def test_a_signature_is_for_one_file_and_one_time(parley: Parley) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)
    [expires] = re.findall(r"expires=(\d+)", link)
    [file_id] = re.findall(r"\?id=([0-9a-f-]{36})&", link)

    for forged in (
        link.replace(expires, str(int(expires) + 3600)),
        link.replace(file_id, str(uuid4())),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link.partition("&signature")[0],
        link.replace("signature=", "signature=%C3%A9"),
    ):
        response = await parley.client.get(forged)
        assert response.status_code in {404, 422}, forged


async def test_a_link_ends_after_two_hours_at_most(
    parley: Parley, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)
    [expires] = re.findall(r"expires=(\d+)", link)

    class Later:
        @staticmethod
        def time() -> float:
            return float(expires)

    monkeypatch.setattr("lib.identity.file_links.time", Later)

    problem = problem_of(await parley.client.get(link), 404, "not_found")
    assert problem["detail"].startswith("This link has ended.")
    # For the owner the link goes on.
    assert (await parley.client.get(link, headers=headers_of("ann"))).content == PNG


async def test_a_link_shows_nothing_of_an_account_that_is_switched_off(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)
    database.execute("UPDATE users SET is_active = FALSE")

    problem_of(await parley.client.get(link), 404, "not_found")


@GUESTS
async def test_a_guest_opens_a_file_by_the_key_of_its_conversation(parley: Parley) -> None:
    begun = (await parley.client.post("/api/conversations")).json()
    await _send(parley, PICTURE, user=None, chat_id=begun["id"])
    link = await _link(parley, None, begun["id"])
    plain = _plain(link)

    assert (await parley.client.get(link)).content == PNG
    key = {"x-conversation-key": begun["key"]}
    assert (await parley.client.get(plain, headers=key)).content == PNG
    problem_of(await parley.client.get(plain), 404, "not_found")
    problem_of(await parley.client.get(plain, headers=headers_of("bob")), 404, "not_found")


async def test_the_same_bytes_are_stored_once_for_a_user_and_once_for_another(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE, PICTURE)
    await _send(parley, PICTURE, chat_id=id_of("another"))
    await _send(parley, PICTURE, user="bob")

    assert sorted(row[:2] for row in _stored(database)) == [("ann", 3000), ("bob", 3000)]


async def test_a_message_sent_again_with_its_bytes_gets_its_stored_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    await _send(parley, PICTURE)

    again = await _send(parley, PICTURE)

    assert again.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1


async def test_a_message_sent_again_with_the_link_of_history_is_the_same_message(
    parley: Parley, model: ScriptedModel
) -> None:
    await _send(parley, PICTURE)
    [file] = await _files(parley)

    again = await _send(parley, file)

    assert again.headers["idempotent-replayed"] == "true"
    assert len(model.requests) == 1


async def test_a_link_in_another_message_is_the_stored_file(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    [file] = await _files(parley)

    await _send(parley, file, chat_id=id_of("another"))

    [content] = model.requests[-1]["messages"][-1]["content"]
    assert content["image_url"]["url"] == PICTURE["url"]
    assert len(_stored(database)) == 1


@pytest.mark.parametrize("user", ["bob", "ann"])
async def test_a_link_to_no_file_of_the_sender_is_refused_and_stores_nothing(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, user: str
) -> None:
    await _send(parley, PICTURE)
    [file] = await _files(parley)
    if user == "ann":
        file["url"] = f"/api/files?id={uuid4()}"
    before = database.execute("SELECT count(*) FROM chat_messages").fetchall()

    refused = await _send(parley, file, user=user, chat_id=id_of("another"))

    problem_of(refused, 422, "file_not_stored")
    assert database.execute("SELECT count(*) FROM chat_messages").fetchall() == before
    assert len(model.requests) == 1


@pytest.mark.environment(BYTES_PER_DAY="5000")
async def test_bytes_of_files_count_to_the_day_and_a_refused_message_stores_none(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)

    refused = await _send(parley, OTHER, message_id="message-2")

    problem_of(refused, 429, "storage_quota_exceeded")
    assert len(_stored(database)) == 1


@pytest.mark.environment(MAX_USER_BYTES="6000")
async def test_files_of_one_user_have_a_limit_and_the_refusal_tells_what_is_left(
    parley: Parley, database: psycopg.Connection, model: ScriptedModel
) -> None:
    await _send(parley, PICTURE)
    # The same file costs nothing.
    await _send(parley, PICTURE, message_id="message-2")

    refused = await _send(parley, OTHER, message_id="message-3")

    problem = problem_of(refused, 422, "file_storage_full")
    assert "6,000 bytes in all, of which 3,000 are left" in problem["detail"]
    assert len(_stored(database)) == 1
    assert len((await parley.history(user="ann"))["messages"]) == 4
    assert len(model.requests) == 2
    assert (await _send(parley, OTHER, user="bob")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "status = 'archived'",
        "turn_id = gen_random_uuid(), turn_message_id = 'x', turn_expires_at = now() + '9 s'",
    ],
    ids=["archived", "busy"],
)
async def test_a_message_that_is_refused_stores_no_file(
    parley: Parley, database: psycopg.Connection, change: str
) -> None:
    await parley.send("Hello!", user="ann")
    database.execute(f"UPDATE conversations SET {change}".encode())

    refused = await _send(parley, PICTURE, message_id="message-2")

    assert refused.status_code == 409
    assert _stored(database) == []


async def test_a_file_goes_with_the_last_conversation_that_has_it(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE, OTHER)
    await _send(parley, PICTURE, chat_id=id_of("another"))
    link = (await _files(parley))[0]["url"]

    await parley.client.delete(f"/api/conversations?id={CHAT_ID}", headers=headers_of("ann"))
    assert _stored(database) == [("ann", 3000, PNG)]
    assert (await parley.client.get(link)).status_code == 200
    await parley.client.delete("/api/conversations?all=true", headers=headers_of("ann"))

    assert _stored(database) == []
    assert database.execute("SELECT * FROM message_files").fetchall() == []
    problem_of(await parley.client.get(link), 404, "not_found")


async def test_a_file_of_expired_messages_is_hidden_at_once_and_deleted_at_night(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)
    database.execute("UPDATE chat_messages SET created_at = now() - interval '31 days'")

    problem_of(await parley.client.get(link), 404, "not_found")
    problem_of(await parley.client.get(_plain(link), headers=headers_of("ann")), 404, "not_found")
    database.execute("SELECT delete_old_chat_messages()")

    assert _stored(database) == []


async def test_an_account_that_ends_leaves_no_byte(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    await _send(parley, PICTURE, user="bob")

    await parley.client.request("DELETE", "/api/auth", headers=headers_of("ann"))

    assert [row[0] for row in _stored(database)] == ["bob"]


@GUESTS
async def test_a_claimed_conversation_brings_its_files_to_its_user(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    begun = (await parley.client.post("/api/conversations")).json()
    await _send(parley, PICTURE, user=None, chat_id=begun["id"])
    headers = headers_of("ann") | {"x-conversation-key": begun["key"]}

    claimed = await parley.client.patch(
        f"/api/conversations?id={begun['id']}", json={"claim": True}, headers=headers
    )
    assert claimed.status_code == 200, claimed.text
    plain = _plain(await _link(parley, "ann", begun["id"]))

    assert (await parley.client.get(plain, headers=headers_of("ann"))).content == PNG
    problem_of(await parley.client.get(plain, headers=headers_of("bob")), 404, "not_found")
    assert _stored(database) == [("ann", 3000, PNG)]
    await parley.send("And now?", user="ann", chat_id=begun["id"], message_id="message-2")
    assert PICTURE["url"] in json.dumps(model.requests[-1])


async def test_a_range_of_bytes_comes_alone(parley: Parley) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)

    part = await parley.client.get(link, headers={"range": "bytes=100-199"})
    rest = await parley.client.get(link, headers={"range": "bytes=2900-"})
    behind = await parley.client.get(link, headers={"range": "bytes=3000-"})

    assert (part.status_code, part.content) == (206, PNG[100:200])
    assert part.headers["content-range"] == "bytes 100-199/3000"
    assert (rest.status_code, rest.content) == (206, PNG[2900:])
    assert behind.status_code == 416


async def test_a_file_that_the_reader_has_is_not_sent_again(parley: Parley) -> None:
    await _send(parley, PICTURE)
    link = await _link(parley)
    etag = (await parley.client.get(link)).headers["etag"]

    again = await parley.client.get(link, headers={"if-none-match": etag})

    assert (again.status_code, again.content) == (304, b"")


async def test_ten_pictures_of_4_mb_make_a_page_of_history_under_100_kb(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _send(parley, PICTURE)
    # As uploads store them: a body of POST /api/chat is limited to 4 MB.
    database.execute(
        """
        INSERT INTO chat_files (id, user_id, media_type, size, bytes)
        SELECT
            md5(n::text)::uuid, 'ann', 'image/png', 4000000,
            %s || decode(lpad(n::text, 6, '0'), 'hex')
        FROM generate_series(1, 10) AS n
        """,
        [png_of_bytes(4_000_000)[:-3]],
    )
    ids = database.execute("SELECT id FROM chat_files WHERE size = 4000000").fetchall()
    for number, (file_id,) in enumerate(ids):
        part = {"type": "file", "mediaType": "image/png", "url": f"/api/files?id={file_id}"}
        sent = await _send(parley, part, message_id=f"message-{number + 2}")
        assert text_of(sent)

    response = await parley.get("/api/history", user="ann", conversation_id=CHAT_ID)

    assert len(response.content) < 100_000
    links = [file["url"] for file in await _files(parley)]
    assert len(links) == 11
    assert len((await parley.client.get(links[-1])).content) == 4_000_000


async def test_the_model_gets_the_newest_files_within_its_bound_of_bytes(
    parley: Parley, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.files.limits.MAX_MESSAGE_BYTES", 7000)
    monkeypatch.setattr("lib.answers._prompt.MAX_MESSAGE_BYTES", 7000)
    for number, part in enumerate((PICTURE, OTHER, OTHER)):
        await _send(parley, part, message_id=f"message-{number}")

    sent = json.dumps(model.requests[-1]["messages"])
    assert sent.count(str(OTHER["url"])) == 1
    assert str(PICTURE["url"]) not in sent
    assert sent.count('"content": "[image]"') == 2


async def test_a_message_as_json_has_the_link_and_not_the_bytes(parley: Parley) -> None:
    message = {"id": "message-1", "role": "user", "parts": [PICTURE]}
    await parley.send("", messages=[message], user="ann")

    response = await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    assert base64.b64encode(PNG).decode() not in response.text


async def test_files_that_are_too_large_together_are_refused_and_the_message_with_them(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _send(parley, PICTURE)
    link = PICTURE | {"url": await _link(parley)}
    monkeypatch.setattr("lib.files.storing.MAX_MESSAGE_BYTES", 6999)

    for parts in ([link, OTHER], [link, link, link]):
        problem_of(await _send(parley, *parts, message_id="message-2"), 422, "files_too_large")

    assert database.execute("SELECT count(*) FROM chat_messages").fetchall() == [(2,)]
    assert text_of(await _send(parley, link, link, message_id="message-3"))


async def test_files_beside_an_answer_that_is_made_again_are_not_stored(
    parley: Parley, database: psycopg.Connection
) -> None:
    for number in (1, 2):
        await parley.send("Hello!", message_id=f"message-{number}", user="ann")
    answer = (await parley.history(user="ann"))["messages"][-1]["id"]
    message = {"id": "message-1", "role": "user", "parts": [PICTURE]}
    again = {"trigger": "regenerate-message", "messageId": answer}

    assert text_of(await parley.send("", messages=[message], user="ann", **again))

    assert _stored(database) == []


async def test_an_erasure_takes_the_picture_of_an_answer_that_is_still_made(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    picture = chunk({"images": [{"image_url": PICTURE["url"]}]})
    model.replies = [Reply(chunks=[picture, chunk({"content": "There"})], hangs_after=2)]
    page = sending(parley.client, user="ann")
    await page.has("There")
    assert _stored(database) == [("ann", 3000, PNG)]

    # As another process does it, which cannot end the answer first.
    database.execute("DELETE FROM conversations")

    assert _stored(database) == []
    await page.leave()


async def test_a_message_with_a_link_and_bytes_locks_files_in_the_order_of_their_ids(
    parley: Parley, database: psycopg.Connection, database_url: str
) -> None:
    owner = FileOwner("ann", uuid4())
    both = sorted(
        (png_of_bytes(3000), png_of_bytes(4000)), key=lambda png: owner.file_id_of("image/png", png)
    )
    low, high = (file_part("image/png", png) for png in both)
    low_id, high_id = (owner.file_id_of("image/png", png) for png in both)
    await _send(parley, low, high)
    [link] = [file["url"] for file in await _files(parley) if str(low_id) in file["url"]]
    lock = "SELECT FROM chat_files WHERE id = %s FOR UPDATE"
    with psycopg.connect(database_url) as other:
        # As the trigger locks them that deletes the files of messages.
        other.execute(lock, [low_id])
        parts = (low | {"url": link}, high)
        message = asyncio.create_task(_send(parley, *parts, message_id="message-2"))
        await until(lambda: _waits(database))
        await asyncio.to_thread(other.execute, lock, [high_id])

    assert text_of(await message)


def _waits(database: psycopg.Connection) -> bool:
    """Tell whether a session waits for a lock."""
    waiting = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    return bool(database.execute(waiting).fetchall())
