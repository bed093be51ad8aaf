"""GET /api/cron/cleanup: access to it, and the rows that it deletes."""

import asyncio
from datetime import timedelta

import httpx2
import psycopg
import pytest

from tests.support.product import (
    CHAT_ID,
    CRON_SECRET,
    Parley,
    id_of,
    problem_of,
    rows_stored,
    token_of,
)

PATH = "/api/cron/cleanup"
REPORTED = {
    "deleted",
    "conversations_deleted",
    "titles_replaced",
    "batches",
    "refused",
    "remaining",
    "seconds",
}
CRON = {"authorization": f"Bearer {CRON_SECRET}"}


async def say_in_the_past(
    parley: Parley, database: psycopg.Connection, days: float, chat_id: str = CHAT_ID
) -> None:
    """Store a question and its answer, said so many days ago."""
    said = await parley.say(f"{days} days ago", conversation_id=chat_id)
    conversation, age = said.json()["conversation_id"], timedelta(days=days)
    database.execute(
        """
        UPDATE chat_messages SET created_at = now() - %s
        WHERE conversation_id = %s AND created_at > now() - interval '1 hour'
        """,
        (age, conversation),
    )
    database.execute(
        "UPDATE conversations SET updated_at = now() - %s WHERE id = %s", (age, conversation)
    )


def messages_left(database: psycopg.Connection) -> list[str]:
    """Return the questions that are still stored, oldest first."""
    rows = database.execute("SELECT content FROM chat_messages WHERE role = 'user' ORDER BY id")
    return [content for (content,) in rows]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer a wrong secret, as long as it")],
        [("authorization", f"Bearer {CRON_SECRET}x")],
        [("authorization", f"Bearer {CRON_SECRET[:-1]}")],
        [("authorization", CRON_SECRET)],
        [("authorization", f"Basic {CRON_SECRET}")],
        [("authorization", f"bearer {CRON_SECRET.upper()}")],
        [("authorization", f"Bearer {CRON_SECRET}é")],
        [*CRON.items(), *CRON.items()],
        [*CRON.items(), ("authorization", "Bearer something else")],
        [("cookie", f"authorization=Bearer {CRON_SECRET}")],
    ],
)
async def test_a_clean_up_without_the_cron_secret_is_refused_and_deletes_nothing(
    parley: Parley, database: psycopg.Connection, headers: list[tuple[str, str]]
) -> None:
    await say_in_the_past(parley, database, 31)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    response = await parley.client.get(PATH, headers=raw)

    problem_of(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    assert messages_left(database) == ["31 days ago"]


async def test_a_users_token_is_no_cron_secret(parley: Parley) -> None:
    response = await parley.client.get(PATH, headers={"authorization": f"Bearer {token_of('ann')}"})

    problem_of(response, 401, "unauthenticated")


@pytest.mark.environment(CRON_SECRET=None)
@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer", "Bearer None", "Bearer  "])
async def test_the_clean_up_refuses_every_caller_where_no_cron_secret_is_set(
    parley: Parley, authorization: str
) -> None:
    # By hand: the client refuses to send a space at the end.
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(parley.base_url).port)
    request = f"GET {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n"
    writer.write(request.encode())

    assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
    writer.close()
    problem_of(await parley.client.get(PATH), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("deleted", "left"),
    [
        pytest.param(4, ["29 days ago", "6 days ago"], id="30 days"),
        pytest.param(
            6, ["6 days ago"], id="7 days", marks=pytest.mark.environment(RETENTION_DAYS="7")
        ),
        pytest.param(
            0,
            ["400 days ago", "31 days ago", "29 days ago", "6 days ago"],
            id="never",
            marks=pytest.mark.environment(RETENTION_DAYS="0"),
        ),
    ],
)
async def test_messages_older_than_the_retention_period_are_deleted_and_counted(
    parley: Parley, database: psycopg.Connection, deleted: int, left: list[str]
) -> None:
    for days in (400, 31, 29, 6):
        await say_in_the_past(parley, database, days)

    response = await parley.client.get(PATH, headers=CRON)

    assert response.status_code == 200
    result = response.json()
    assert result.keys() == REPORTED
    assert result["remaining"] is False
    assert result["deleted"] == deleted
    assert result["batches"] == (deleted > 0)
    assert 0 <= result["seconds"] < 10
    assert messages_left(database) == left


async def test_the_clean_up_deletes_conversations_left_empty(
    parley: Parley, database: psycopg.Connection
) -> None:
    await say_in_the_past(parley, database, 31, id_of("an old conversation"))
    await say_in_the_past(parley, database, 29, id_of("a new conversation"))

    result = (await parley.client.get(PATH, headers=CRON)).json()

    assert result["conversations_deleted"] == 1
    # One conversation, its question, its answer, and that one's stream, of a moment ago.
    assert rows_stored(database) == 4
    assert await parley.said(id_of("a new conversation")) == ["29 days ago", "Hello, how are you?"]


async def test_a_second_clean_up_deletes_nothing(
    parley: Parley, database: psycopg.Connection
) -> None:
    await say_in_the_past(parley, database, 31)

    found = [(await parley.client.get(PATH, headers=CRON)).json()["deleted"] for _ in range(2)]

    assert found == [2, 0]


async def test_a_dry_run_counts_expired_messages_and_deletes_nothing(
    parley: Parley, database: psycopg.Connection
) -> None:
    await say_in_the_past(parley, database, 31, id_of("an old conversation"))
    await say_in_the_past(parley, database, 32, id_of("a conversation of long ago"))
    await say_in_the_past(parley, database, 29, id_of("a new conversation"))
    before = rows_stored(database)

    counted = (await parley.client.get(f"{PATH}?dry_run=true", headers=CRON)).json()

    assert counted.keys() == REPORTED
    assert rows_stored(database) == before
    deleted = (await parley.client.get(f"{PATH}?dry_run=false", headers=CRON)).json()
    for name in ("deleted", "conversations_deleted", "titles_replaced", "remaining"):
        assert counted[name] == deleted[name], name
    assert (deleted["deleted"], deleted["conversations_deleted"]) == (4, 2)
    again = (await parley.client.get(f"{PATH}?dry_run=true", headers=CRON)).json()
    assert (again["deleted"], again["conversations_deleted"], again["batches"]) == (0, 0, 0)


@pytest.mark.environment(RETENTION_DAYS="0")
async def test_a_dry_run_counts_nothing_without_a_retention_period(
    parley: Parley, database: psycopg.Connection
) -> None:
    await say_in_the_past(parley, database, 400)

    counted = (await parley.client.get(f"{PATH}?dry_run=true", headers=CRON)).json()

    assert (counted["deleted"], counted["conversations_deleted"]) == (0, 0)


async def test_a_dry_run_needs_the_cron_secret_and_is_true_or_false(parley: Parley) -> None:
    problem_of(await parley.client.get(f"{PATH}?dry_run=true"), 401, "unauthenticated")
    refused = await parley.client.get(f"{PATH}?dry_run=perhaps", headers=CRON)
    problem_of(refused, 422, "invalid_request")
