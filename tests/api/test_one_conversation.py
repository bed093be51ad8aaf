"""/api/conversations?id=: read, rename, archive and delete one; and DELETE ?all=true."""

import asyncio
import json
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.api.test_conversations import DETAILS, PATH, add_conversations, listed, titles_of
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, parts_of, problem_of, rows_stored

SLOW = Reply(pieces=("one ", "two ", "three"), seconds_between=0.3)


async def change(
    parley: Parley, body: object, chat_id: object = CHAT_ID, *, user: str | None = "ann"
) -> httpx2.Response:
    """PATCH a conversation."""
    # Not `json=`: the client could not encode a lone surrogate, which JSON writes as \\ud800.
    headers = {"content-type": "application/json"} | headers_of(user)
    query = {"id": str(chat_id)}
    return await parley.client.patch(PATH, params=query, content=json.dumps(body), headers=headers)


async def delete(parley: Parley, *, user: str | None = "ann", **query: object) -> httpx2.Response:
    """DELETE one conversation, or all."""
    params = {name: str(value) for name, value in query.items()}
    return await parley.client.delete(PATH, params=params, headers=headers_of(user))


@pytest.mark.parametrize("user", ["ann", None])
async def test_a_conversation_is_read_by_any_of_its_ids_as_the_list_shows_it(
    parley: Parley, user: str | None
) -> None:
    said = (await parley.say("Hello!", user=user, conversation_id=CHAT_ID)).json()

    for name in (CHAT_ID, said["conversation_id"], said["conversation_id"].upper()):
        response = await parley.get(PATH, user=user, id=name)

        assert response.status_code == 200
        assert response.headers["x-conversation-id"] == said["conversation_id"]
        assert response.json() == (await parley.history(user=user))["conversation"] | {
            "message_count": 2,
            "last_message": "Hello, how are you?",
            **DETAILS,
        }


async def test_another_caller_finds_no_such_conversation(parley: Parley) -> None:
    said = (await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)).json()

    for user in ("bob", None):
        for name in (CHAT_ID, said["conversation_id"], uuid4()):
            problem_of(await parley.get(PATH, user=user, id=name), 404, "not_found")
            problem_of(await change(parley, {"title": "x"}, name, user=user), 404, "not_found")
            problem_of(await delete(parley, user=user, id=name), 404, "not_found")
    assert (await parley.get(PATH, user="ann", id=CHAT_ID)).json()["title"] == "Hello!"


async def test_an_anonymous_conversation_is_changed_and_deleted_by_its_id(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    changed = await change(parley, {"title": "Renamed"}, user=None)

    assert changed.json()["title"] == "Renamed"
    assert (await delete(parley, user=None, id=CHAT_ID)).status_code == 204
    assert rows_stored(database) == 0


async def test_a_change_returns_the_changed_conversation_and_keeps_its_place_in_the_list(
    parley: Parley,
) -> None:
    for chat_id in ("first conversation", "second conversation"):
        await parley.say(chat_id, user="ann", conversation_id=chat_id)
    before = (await listed(parley))["conversations"]

    response = await change(parley, {"title": "Renamed"}, "first conversation")

    assert response.status_code == 200
    renamed = before[1] | {"title": "Renamed"}
    assert response.json() == renamed | DETAILS
    assert (await listed(parley))["conversations"] == [before[0], renamed]


@pytest.mark.parametrize(
    ("title", "stored"),
    [
        ("  A title \n", "A title"),
        ("two\r\nlines\tand\u2028more\x85", "two lines and more"),
        ("x" * 255, "x" * 255),
        ("😀" * 255, "😀" * 255),
        ("\n" * 20 + "x" * 250 + " \n" * 20 + "y", "x" * 250 + " y"),
        ("<b>&", "<b>&"),
    ],
    ids=ascii,
)
async def test_a_title_becomes_one_line(parley: Parley, title: str, stored: str) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    response = await change(parley, {"title": title})

    assert response.json()["title"] == stored
    assert titles_of(await listed(parley)) == [stored]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ({"something": "else"}, [""]),
        ({"title": None}, ["title"]),
        ({"status": None}, ["status"]),
        ({"claim": None}, ["claim"]),
        ({"title": None, "status": "archived"}, ["title"]),
        ({"title": "x", "status": None}, ["status"]),
        ({"title": "x", "claim": None}, ["claim"]),
        ({"title": "x", "claim": False}, ["claim"]),
        ({"title": "x", "claim": "true"}, ["claim"]),
        ({"title": "x", "claim": 1}, ["claim"]),
        ({"title": ""}, ["title"]),
        ({"title": " \n\u2028"}, ["title"]),
        ({"title": "x" * 256}, ["title"]),
        ({"title": "🐘" * 256}, ["title"]),
        ({"title": "a\0b"}, ["title"]),
        ({"title": "a\ud800"}, ["title"]),
        ({"title": 5}, ["title"]),
        ({"title": ["x"]}, ["title"]),
        ({"status": "deleted"}, ["status"]),
        ({"status": "Archived"}, ["status"]),
        ({"status": ""}, ["status"]),
        ({"status": True}, ["status"]),
        ({"title": "", "status": "gone", "claim": "yes"}, ["title", "status", "claim"]),
        ([], [""]),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_an_invalid_change_is_refused_and_changes_nothing(
    parley: Parley, body: object, fields: list[str]
) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    problem = problem_of(await change(parley, body), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == fields
    [conversation] = (await listed(parley, status="all"))["conversations"]
    assert (conversation["title"], conversation["status"]) == ("Hello!", "active")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"id": ""},
        {"id": "x" * 256},
        {"id": "a\0b"},
        {"all": "false"},
        {"all": ""},
        {"id": CHAT_ID, "all": "false"},
    ],
    ids=ascii,
)
async def test_a_delete_without_a_conversation_deletes_nothing(
    parley: Parley, query: dict[str, str]
) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    problem_of(await delete(parley, **query), 422, "invalid_request")

    assert titles_of(await listed(parley)) == ["Hello!"]


async def test_an_archived_conversation_takes_no_message_until_it_is_active_again(
    parley: Parley, model: ScriptedModel
) -> None:
    await parley.say("One", user="ann", conversation_id=CHAT_ID)

    assert (await change(parley, {"status": "archived"})).json()["status"] == "archived"
    refused = await parley.say("Two", user="ann", conversation_id=CHAT_ID)

    problem_of(refused, 409, "conversation_archived")
    assert len(model.requests) == 1
    assert titles_of(await listed(parley)) == []
    assert (await change(parley, {"status": "active"})).json()["status"] == "active"
    assert (await parley.say("Two", user="ann", conversation_id=CHAT_ID)).status_code == 200
    assert len(await parley.said(user="ann")) == 4


async def test_a_deleted_conversation_is_gone_with_its_messages(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    deleted = await delete(parley, id=CHAT_ID)

    assert (deleted.status_code, deleted.content) == (204, b"")
    problem_of(await delete(parley, id=CHAT_ID), 404, "not_found")
    problem_of(await parley.get(PATH, user="ann", id=CHAT_ID), 404, "not_found")
    gone = await parley.get("/api/history", user="ann", conversation_id=CHAT_ID)
    problem_of(gone, 404, "not_found")
    assert rows_stored(database) == 1


@pytest.mark.parametrize("query", [{"id": CHAT_ID}, {"all": "true"}])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_ends_visibly_when_its_conversation_is_deleted(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    query: dict[str, str],
    *,
    stream: bool,
) -> None:
    model.replies = [SLOW]
    saying = asyncio.create_task(
        parley.say("Hello!", user="ann", conversation_id=CHAT_ID, stream=stream)
    )
    while not model.requests:  # noqa: ASYNC110 (the model offers no event)
        await asyncio.sleep(0.01)

    assert (await delete(parley, **query)).status_code == 204

    response = await saying
    if stream:
        last = parts_of(response)[-1]
        assert (last["type"], "deleted" in last["errorText"]) == ("error", True)
    else:
        problem_of(response, 409, "answer_not_stored")
    assert rows_stored(database) == 1
    assert (await parley.say("Anew", user="ann", conversation_id=CHAT_ID)).status_code == 200


async def test_delete_all_deletes_the_callers_conversations_in_any_number_of_batches(
    parley: Parley, database: psycopg.Connection
) -> None:
    add_conversations(database, *(str(number) for number in range(120)), status="archived")
    add_conversations(database, "Of bob", user="bob")
    await parley.say("Of nobody", conversation_id=CHAT_ID)

    assert (await delete(parley, all="true")).status_code == 204

    assert (await listed(parley, status="all"))["conversations"] == []
    assert titles_of(await listed(parley, "bob")) == ["Of bob"]
    assert len(await parley.said()) == 2
    assert (await delete(parley, all="true")).status_code == 204


async def test_each_of_several_requests_to_delete_all_returns_when_all_are_gone(
    parley: Parley, database: psycopg.Connection
) -> None:
    add_conversations(database, *(str(number) for number in range(120)))

    async def delete_and_list() -> list[str]:
        assert (await delete(parley, all="true")).status_code == 204
        return titles_of(await listed(parley, status="all"))

    assert await asyncio.gather(*[delete_and_list() for _ in range(3)]) == [[], [], []]


async def test_delete_all_needs_a_user(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(await delete(parley, user=None, all="true"), 401, "unauthenticated")

    assert len(await parley.said()) == 2


async def test_a_delete_with_an_id_and_all_deletes_one_conversation(parley: Parley) -> None:
    for chat_id in ("first conversation", "second conversation"):
        await parley.say(chat_id, user="ann", conversation_id=chat_id)

    await delete(parley, id="first conversation", all="true")

    assert titles_of(await listed(parley)) == ["second conversation"]
