"""Guests: a conversation without an owner is reached by its key, and without a key by its id."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
import pytest

import lib.settings
from tests.api.test_conversations import PATH
from tests.support.guests import Guest, new_guest
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, parts_of, problem_of, rows_stored

USES = ("history", "read", "stream", "stop", "rename", "mark", "delete", "say", "regenerate")


async def use(guest: Guest, name: str) -> tuple[int, str | None]:
    """Use the conversation; return the status and the problem's code."""
    words = {"say": ["Hi"], "rename": ["New"]}.get(name, [])
    response = await getattr(guest, name)(*words)
    return response.status_code, response.json()["code"] if response.is_error else None


async def test_a_page_gets_an_id_and_a_key_and_nothing_is_stored_yet(
    parley: Parley, database: psycopg.Connection
) -> None:
    response = await parley.client.post(PATH)

    assert response.status_code == 201
    made = response.json()
    assert UUID(made["id"]).version == 4
    assert response.headers["x-conversation-key"] == made["key"]
    assert response.headers["x-conversation-id"] == made["id"]
    assert response.headers["cache-control"] == "no-store"
    assert (await parley.client.post(PATH, json={})).json()["key"] != made["key"]
    assert rows_stored(database) == 0


async def test_a_user_gets_an_id_without_a_key(parley: Parley) -> None:
    response = await parley.client.post(PATH, headers=headers_of("ann"))

    assert response.status_code == 201
    assert response.json().keys() == {"id"}
    assert "x-conversation-key" not in response.headers


async def test_a_new_conversation_takes_no_fields(parley: Parley) -> None:
    response = await parley.client.post(PATH, json={"title": "Mine"})

    problem_of(response, 422, "invalid_request")


async def test_the_key_opens_the_conversation_and_only_its_hash_is_stored(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley)

    said = await guest.say("Hello!")

    assert said.status_code == 200
    assert "conversation_key" not in said.json()
    assert "x-conversation-key" not in said.headers
    assert len((await guest.history()).json()["messages"]) == 2
    assert guest.key
    [(key_hash,)] = database.execute("SELECT key_hash FROM conversations").fetchall()
    assert key_hash == sha256(guest.key.encode()).digest()


async def test_a_message_without_an_id_gets_an_id_and_a_key(parley: Parley) -> None:
    response = await parley.client.post("/api/chat", json={"message": "Hello!"})

    content = response.json()
    assert content["conversation_key"] == response.headers["x-conversation-key"]
    guest = Guest(parley, content["conversation_id"], content["conversation_key"])
    assert (await guest.history()).status_code == 200
    guest.key = None
    problem_of(await guest.history(), 404, "not_found")


async def test_a_stream_has_the_key_in_its_header_and_not_in_its_parts(
    parley: Parley, database: psycopg.Connection
) -> None:
    response = await parley.client.post("/api/chat", json={"message": "Hello!", "stream": True})

    assert parts_of(response)
    key = response.headers["x-conversation-key"]
    assert key not in response.text
    [(stored,)] = database.execute("SELECT parts FROM finished_streams").fetchall()
    assert key not in stored


async def test_a_message_that_fails_tells_the_key_too(parley: Parley, model: ScriptedModel) -> None:
    model.replies = [Reply(status=500)] * 3

    failed = await parley.client.post("/api/chat", json={"message": "Hello!"})

    problem_of(failed, 502, "model_failed")
    key = failed.headers["x-conversation-key"]
    guest = Guest(parley, failed.headers["x-conversation-id"], key)
    assert (await guest.history()).status_code == 200


@pytest.mark.parametrize("name", USES)
async def test_without_its_key_a_conversation_looks_as_if_it_did_not_exist(
    parley: Parley, name: str
) -> None:
    guest, stranger, missing = [await new_guest(parley) for _ in range(3)]
    await guest.say("Hello!")
    await stranger.say("Hello!")
    intruders = [
        Guest(parley, guest.id, None),
        Guest(parley, guest.id, stranger.key),
        Guest(parley, missing.id, stranger.key),
    ]

    seen = {await use(intruder, name) for intruder in intruders}

    expected = {
        "stream": (204, None),
        "stop": (204, None),
        "regenerate": (422, "nothing_to_answer"),
    }
    assert seen == {expected.get(name, (404, "not_found"))}
    assert (await guest.history()).json()["conversation"]["title"] == "Hello!"
    assert len((await guest.history()).json()["messages"]) == 2


@pytest.mark.parametrize("name", USES)
async def test_a_key_does_not_open_a_conversation_without_one(parley: Parley, name: str) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)
    guest = await new_guest(parley)
    guest.id = CHAT_ID

    status, _ = await use(guest, name)

    assert status in {404, 204, 422}
    assert len(await parley.said()) == 2


@pytest.mark.parametrize(
    "key",
    [
        "",
        "secret",
        "pk_",
        "pk_" + "a" * 63,
        "pk_" + "a" * 65,
        "pk_" + "a" * 63 + "=",
        "pk_" + "a" * 63 + "é",
        "PK_" + "a" * 64,
        "sk_" + "a" * 64,
        "pk_" + "a" * 31 + " " + "a" * 32,
    ],
)
async def test_a_key_of_another_form_is_refused_with_words_to_act_on(
    parley: Parley, key: str
) -> None:
    guest = await new_guest(parley)
    headers = {b"x-conversation-key": key.encode()}

    for path in (f"{PATH}?id={guest.id}", f"/api/history?conversation_id={guest.id}"):
        response = await parley.client.get(path, headers=headers)

        problem = problem_of(response, 422, "invalid_request")
        assert [error["field"] for error in problem["errors"]] == ["x-conversation-key"]
        assert "POST /api/conversations" in problem["errors"][0]["detail"]


async def test_two_keys_in_one_request_are_refused(parley: Parley) -> None:
    guest = await new_guest(parley)
    assert guest.key
    headers = [("x-conversation-key", guest.key)] * 2

    response = await parley.client.get(f"{PATH}?id={guest.id}", headers=headers)

    problem_of(response, 422, "invalid_request")


async def test_a_key_that_the_server_did_not_make_begins_no_conversation(
    parley: Parley, database: psycopg.Connection
) -> None:
    made = await new_guest(parley)
    forged = [
        Guest(parley, str(uuid4()), "pk_" + urlsafe_b64encode(bytes(48)).decode()),
        # Made for another id.
        Guest(parley, str(uuid4()), made.key),
        Guest(parley, CHAT_ID, made.key),
    ]

    for guest in forged:
        problem_of(await guest.say("Hello!"), 404, "not_found")

    # The counter of guesses.
    assert rows_stored(database) == 1
    assert (await made.say("Hello!")).status_code == 200


async def test_a_key_without_an_id_is_refused(parley: Parley) -> None:
    guest = await new_guest(parley)
    assert guest.key

    response = await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers={"x-conversation-key": guest.key}
    )

    problem = problem_of(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["x-conversation-key"]


async def test_a_changed_secret_locks_nobody_out_of_a_conversation(
    parley: Parley, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, late = await new_guest(parley), await new_guest(parley)
    await guest.say("Hello!")

    # As a process that starts with another secret.
    monkeypatch.setenv("CRON_SECRET", "another secret of the cron")
    lib.settings.settings.cache_clear()

    assert (await guest.say("And?")).status_code == 200
    assert (await guest.history()).status_code == 200
    problem_of(await late.say("Hello!"), 404, "not_found")
    assert (await guest.delete()).status_code == 204


GUESSABLE = [
    "aaaaaaaaaaaaaaaa",
    "1700000000000000",
    "00000000-0000-0000-0000-000000000001",
    "my-first-conversation",
    "short",
    "5f39ade2-edb9-11f1-bf21-02fc00000001",
]


@pytest.mark.parametrize("chat_id", GUESSABLE)
async def test_a_guest_begins_no_conversation_under_an_id_that_can_be_guessed(
    parley: Parley, database: psycopg.Connection, chat_id: str
) -> None:
    for response in (
        await parley.say("Hello!", conversation_id=chat_id),
        await parley.send("Hello!", chat_id=chat_id),
    ):
        problem = problem_of(response, 422, "invalid_request")
        assert problem["errors"][0]["field"] in {"conversation_id", "id"}
        assert "POST /api/conversations" in problem["errors"][0]["detail"]
    # The counter of guesses.
    assert rows_stored(database) == 1
    problem_of(await parley.get("/api/history", conversation_id=chat_id), 404, "not_found")
    assert (await parley.get(f"/api/chat/{chat_id}/stream")).status_code == 204
    # A user's ids are names, and no passwords.
    assert (await parley.say("Hello!", user="ann", conversation_id=chat_id)).status_code == 200


async def test_a_guest_goes_on_under_the_uuid_that_the_id_stands_for(parley: Parley) -> None:
    said = (await parley.say("Hello!", conversation_id=CHAT_ID)).json()

    again = await parley.say("And?", conversation_id=said["conversation_id"])

    assert again.status_code == 200
    assert len(await parley.said()) == 4
