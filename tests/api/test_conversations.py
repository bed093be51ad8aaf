"""GET /api/conversations: the caller's conversations, most recently used first, in pages."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.support.product import CHAT_ID, Parley, problem_of

PATH = "/api/conversations"
# What one conversation tells beside the columns of the list, while nothing is set.
DETAILS = {"instructions": None}


def add_conversations(
    database: psycopg.Connection, *titles: str, user: str = "ann", **columns: object
) -> list[UUID]:
    """Store conversations of a user, each used a minute before the next one."""
    database.execute("INSERT INTO users (id) VALUES (%s) ON CONFLICT DO NOTHING", (user,))
    values = {"status": "active", "age": timedelta(0)} | columns
    return [
        database.execute(
            """
            INSERT INTO conversations (user_id, title, status, updated_at)
            VALUES (
                %(user)s, %(title)s, %(status)s,
                now() - %(age)s - %(minutes)s * interval '1 minute'
            )
            RETURNING id
            """,
            values | {"user": user, "title": title, "minutes": len(titles) - number},
        ).fetchall()[0][0]
        for number, title in enumerate(titles)
    ]


async def listed(parley: Parley, user: str = "ann", **query: object) -> dict[str, Any]:
    """Return one page of a user's conversations."""
    response = await parley.get(PATH, user=user, **query)
    assert response.status_code == 200, response.text
    return response.json()


def titles_of(page: dict[str, Any]) -> list[str]:
    """Return the titles of a page."""
    return [conversation["title"] for conversation in page["conversations"]]


async def test_the_list_of_conversations_needs_a_user(parley: Parley) -> None:
    await parley.say("Hello!")

    response = await parley.get(PATH)

    problem_of(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_user_lists_their_own_conversations_only(parley: Parley) -> None:
    for user in ("ann", "bob", None):
        await parley.say(f"Of {user}", user=user, conversation_id=CHAT_ID)

    assert titles_of(await listed(parley, "ann")) == ["Of ann"]
    assert titles_of(await listed(parley, "bob")) == ["Of bob"]
    assert titles_of(await listed(parley, "eve")) == []


async def test_the_list_shows_a_conversation_as_history_does(parley: Parley) -> None:
    await parley.say("Hello!", user="ann", conversation_id=CHAT_ID)

    [conversation] = (await listed(parley))["conversations"]

    in_history = (await parley.history(user="ann"))["conversation"]
    columns = {"id", "title", "status", "created_at", "updated_at", "model"}
    assert in_history.keys() == columns
    assert conversation == in_history | {"message_count": 2, "last_message": "Hello, how are you?"}


async def test_the_most_recently_used_conversation_comes_first_in_the_list(parley: Parley) -> None:
    for text in ("One", "Two", "Three"):
        await parley.say(text, user="ann", conversation_id=f"conversation {text}")
    await parley.say("Again", user="ann", conversation_id="conversation One")

    assert titles_of(await listed(parley)) == ["One", "Three", "Two"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["active"]),
        ({"status": "active"}, ["active"]),
        ({"status": "archived"}, ["archived"]),
        ({"status": "all"}, ["active", "archived"]),
    ],
)
async def test_the_list_may_be_limited_to_one_status(
    parley: Parley, database: psycopg.Connection, query: dict[str, str], expected: list[str]
) -> None:
    for status in ("active", "archived"):
        add_conversations(database, status, status=status)

    assert sorted(titles_of(await listed(parley, **query))) == expected


@pytest.mark.parametrize("limit", [1, 7, 30, 59, 60, 200])
async def test_pages_of_conversations_follow_each_other_without_gap_or_overlap(
    parley: Parley, database: psycopg.Connection, limit: int
) -> None:
    titles = [str(number) for number in range(60)]
    add_conversations(database, *titles)
    add_conversations(database, *titles, user="bob")

    page = await listed(parley, limit=limit)
    pages = [titles_of(page)]
    while page["next_cursor"]:
        # A new conversation comes before the pages already read, and moves no other.
        add_conversations(database, "new", age=timedelta(minutes=-5))
        page = await listed(parley, limit=limit, cursor=page["next_cursor"])
        pages.append(titles_of(page))

    assert {len(page) for page in pages[:-1]} <= {limit}
    assert 0 < len(pages[-1]) <= limit
    assert [title for page in pages for title in page] == titles[::-1]


async def test_pages_show_each_conversation_of_the_same_moment_once(
    parley: Parley, database: psycopg.Connection
) -> None:
    conversations = add_conversations(database, *(["same"] * 9))
    database.execute("UPDATE conversations SET updated_at = now() - interval '1 microsecond'")

    page = await listed(parley, limit=2)
    listed_conversations = page["conversations"]
    while page["next_cursor"]:
        page = await listed(parley, limit=2, cursor=page["next_cursor"])
        listed_conversations += page["conversations"]

    assert [conversation["id"] for conversation in listed_conversations] == sorted(
        map(str, conversations), reverse=True
    )


async def test_a_cursor_shows_no_conversations_of_another_user(
    parley: Parley, database: psycopg.Connection
) -> None:
    add_conversations(database, "One", "Two", "Three")
    add_conversations(database, "Of bob", user="bob", age=timedelta(hours=1))

    cursor = (await listed(parley, limit=1))["next_cursor"]

    assert titles_of(await listed(parley, "bob", cursor=cursor)) == ["Of bob"]


async def test_a_page_has_20_conversations_by_default(
    parley: Parley, database: psycopg.Connection
) -> None:
    add_conversations(database, *(str(number) for number in range(21)))

    page = await listed(parley)

    assert titles_of(page) == [str(number) for number in range(20, 0, -1)]
    assert titles_of(await listed(parley, cursor=page["next_cursor"])) == ["0"]


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(["month", "week"], id="30 days"),
        pytest.param(["week"], id="7 days", marks=pytest.mark.environment(RETENTION_DAYS="7")),
        pytest.param(
            ["month", "old", "week"],
            id="for ever",
            marks=pytest.mark.environment(RETENTION_DAYS="0"),
        ),
    ],
)
async def test_an_expired_conversation_is_not_listed_before_it_is_deleted(
    parley: Parley, database: psycopg.Connection, expected: list[str]
) -> None:
    for title, days in (("week", 6.99), ("month", 29.99), ("old", 30.01)):
        add_conversations(database, title, age=timedelta(days=days))

    assert sorted(titles_of(await listed(parley))) == expected
