"""GET /api/conversations?q=: the search. Its syntax is in tests/queries/conversations."""

from typing import Any

import psycopg
import pytest

from tests.api.test_conversations import PATH, add_conversations, listed, titles_of
from tests.api.test_one_conversation import change, delete
from tests.support.guests import new_guest
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, problem_of


async def test_a_search_returns_an_excerpt_and_the_columns_of_the_list(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(pieces=("The walrus & the <b>seal</b>.",))
    await parley.say("Who?", user="ann", conversation_id=CHAT_ID)

    page = await listed(parley, q="walr")

    [conversation] = (await listed(parley))["conversations"]
    del conversation["message_count"], conversation["last_message"]
    [match] = page["conversations"]
    assert match.pop("excerpt").startswith("The <mark>walrus</mark> &amp; the ")
    assert match == conversation
    assert page["next_cursor"] is None


async def test_a_search_finds_a_title_after_it_was_changed(parley: Parley) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)
    await change(parley, {"title": "About <i>walruses</i>"})

    [match] = (await listed(parley, q="walruses"))["conversations"]

    assert "<mark>walruses</mark>" in match["excerpt"]
    assert "<i>" not in match["excerpt"]


async def test_a_user_finds_their_own_conversations_only(parley: Parley) -> None:
    for user in ("ann", "bob", None):
        await parley.say(f"A walrus of {user}", user=user, conversation_id=CHAT_ID)

    assert titles_of(await listed(parley, "ann", q="walrus")) == ["A walrus of ann"]
    assert titles_of(await listed(parley, "eve", q="walrus")) == []
    problem_of(await parley.get(PATH, q="walrus"), 401, "unauthenticated")


async def test_a_search_finds_claimed_conversations_and_no_deleted_ones(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("A walrus")
    said = await parley.say("A walrus, too", user="ann")
    await guest.claim("ann")
    assert len(titles_of(await listed(parley, q="walrus"))) == 2

    await delete(parley, id=said.json()["conversation_id"])

    assert titles_of(await listed(parley, q="walrus")) == ["A walrus"]


async def test_a_search_does_not_find_messages_that_an_edit_replaced(parley: Parley) -> None:
    await parley.say("A walrus", user="ann", conversation_id=CHAT_ID, message_id="m1")
    await parley.say("A seal", user="ann", conversation_id=CHAT_ID, message_id="m1")
    await change(parley, {"title": "Animals"})

    assert titles_of(await listed(parley, q="walrus")) == []
    assert titles_of(await listed(parley, q="seal")) == ["Animals"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["active"]),
        ({"status": "archived"}, ["archived"]),
        ({"status": "all"}, ["active", "archived"]),
        ({"status": "all", "limit": 1}, ["active"]),
    ],
)
async def test_a_search_may_have_a_status_and_a_limit(
    parley: Parley, database: psycopg.Connection, query: dict[str, Any], expected: list[str]
) -> None:
    for status in ("archived", "active"):
        add_conversations(database, f"{status} walrus", status=status)

    titles = titles_of(await listed(parley, q="walrus", **query))

    assert sorted(title.removesuffix(" walrus") for title in titles) == expected


@pytest.mark.environment(RETENTION_DAYS="7")
async def test_a_search_does_not_find_expired_messages(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("A walrus", user="ann", conversation_id=CHAT_ID)
    database.execute("UPDATE conversations SET updated_at = now() - interval '8 days'")

    assert titles_of(await listed(parley, q="walrus")) == []


@pytest.mark.environment(SEARCH="scan")
async def test_a_deployment_may_search_by_reading_the_users_messages(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("DROP INDEX idx_chat_messages_search, idx_conversations_search")
    for user in ("ann", "bob"):
        await parley.say(f"A walrus of {user}", user=user)

    assert titles_of(await listed(parley, q="walr")) == ["A walrus of ann"]
    assert titles_of(await listed(parley, q="seal")) == []


@pytest.mark.environment(SEARCH="off")
async def test_a_deployment_may_have_no_search(parley: Parley) -> None:
    await parley.say("A walrus", user="ann")

    problem = problem_of(await parley.get(PATH, user="ann", q="walrus"), 404, "not_found")

    assert problem["detail"] == "The operator has switched the search off."
    assert titles_of(await listed(parley)) == ["A walrus"]
    problem_of(await parley.get(PATH, q="walrus"), 401, "unauthenticated")
    problem_of(await parley.get(PATH, user="ann", q=""), 422, "invalid_request")


@pytest.mark.parametrize(
    "q", [" ", "...", '"', "a:*b & | ! ( ) <->", "'); --", "x" * 200, "日" * 200]
)
async def test_a_search_that_finds_nothing_is_an_empty_list(parley: Parley, q: str) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    assert await listed(parley, q=q) == {"conversations": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"q": ""}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"q": "walrus", "limit": 0}, "limit"),
        ({"q": "walrus", "limit": 201}, "limit"),
        ({"q": "walrus", "status": "gone"}, "status"),
        ({"q": "walrus", "cursor": "WzFd"}, "cursor"),
    ],
    ids=ascii,
)
async def test_a_search_that_is_not_valid_is_refused(
    parley: Parley, query: dict[str, Any], field: str
) -> None:
    problem = problem_of(await parley.get(PATH, user="ann", **query), 422, "invalid_request")

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_an_answer_of_two_megabytes_is_stored_and_found(
    parley: Parley, model: ScriptedModel
) -> None:
    pieces = [
        " ".join(f"word{n}" for n in range(at, at + 2000)) + " " for at in range(0, 220_000, 2000)
    ]
    model.default = Reply(pieces=("walrus ", *pieces))

    said = await parley.say("Say much!", user="ann")

    assert len(said.json()["message"]["content"]) > 2_000_000
    [match] = (await listed(parley, q="walrus"))["conversations"]
    assert match["id"] == said.json()["conversation_id"]
    assert len(match["excerpt"]) < 1000
