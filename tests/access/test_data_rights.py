"""The rights of a user: to export all their data, and to have all of it deleted."""

import base64
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Placeholder
from psycopg.types.json import Json, Jsonb

import lib.conversations.export
from tests.api.test_cron_cleanup import CRON
from tests.api.test_cron_cleanup import PATH as CLEANUP
from tests.support.access.catalog import Column, columns_of, snapshot_query, tables, tables_of_users
from tests.support.product import Parley, headers_of, problem_of, running_product
from tests.support.proxy import proxied
from tests.support.serving import Switchboard

VICTIM, BYSTANDER = "victim", "bystander"
EXPORT = "/api/conversations?export=true"
# Columns that are shown to no caller, not even to their owner.
SECRETS = {"hashed_password", "key_hash"}
# Values of columns that allow a closed set.
# These marks are a question's alone, and the message of these tests is an answer.
CLOSED_SETS: dict[str, object] = {
    "role": "assistant",
    "status": "active",
    "finish_reason": "stop",
    "refusal": None,
    "failed_attempts": None,
    "owed_attempt": None,
    # The export has the streams of current answers, and of answers to current questions.
    "superseded_at": None,
}
WITHOUT_OWNER = {
    "account_attempts",
    "deleted_users",
    "metric_counters",
    "quotas",
    "schema_migrations",
}
# A counter of a day that is over says nothing any more.
NOW = datetime.now(UTC) + timedelta(hours=1)


def value_of(column: Column, owner: str, ids: Mapping[str, object]) -> object:
    """Return a value of a column's type, marked with its owner where the type allows it."""
    if column.refers_to:
        return ids[column.refers_to]
    # Not a foreign key in tables whose rows are deleted with their conversation.
    if column.name == "user_id":
        return ids["users"]
    if column.name in CLOSED_SETS:
        return CLOSED_SETS[column.name]
    by_name: dict[str, object] = {
        # Whatever belongs to a message is shown as long as the message.
        "turn_message_id": f"message_id of {owner}",
        "answer_message_id": f"message_id of {owner}",
        "question_id": ids.get("chat_messages"),
        "chat_message_id": ids.get("chat_messages"),
        "conversation_id": ids.get("conversations"),
        # Of the bytes below; a user's file is in no conversation of a guest.
        "size": 32,
        # The tokens of these tests do not say when they were issued.
        "tokens_valid_from": "-infinity",
    }
    if column.name in by_name:
        return by_name[column.name]
    values: dict[str, object] = {
        "boolean": True,
        "bytea": bytes(32),
        # Another one of each owner: two answers have not the same question.
        "bigint": len(owner),
        "integer": 7,
        "double precision": 0.5,
        "jsonb": Jsonb({"of": owner}),
        "json": Json({"of": owner}),
        "timestamp with time zone": NOW,
        "uuid": uuid4(),
    }
    return values.get(column.type, f"{column.name} of {owner}")


def fill(database: psycopg.Connection, owner: str) -> dict[str, dict[str, Any]]:
    """Store a row of an owner, with every column, in each table of users' data; return the rows."""
    ids: dict[str, object] = {}
    rows: dict[str, dict[str, Any]] = {}
    for table in tables_of_users(database):
        columns = columns_of(database, table)
        values = {column.name: value_of(column, owner, ids) for column in columns}
        if table == "users":
            values["id"] = owner
        insert = SQL(
            "INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING to_jsonb({table})"
        ).format(
            table=Identifier(table),
            columns=SQL(", ").join(map(Identifier, values)),
            values=SQL(", ").join(map(Placeholder, values)),
        )
        [(row,)] = database.execute(insert, values).fetchall()
        rows[table], ids[table] = row, row.get("id")
    return rows


def stored(database: psycopg.Connection) -> set[str]:
    """Return all rows of all tables."""
    return {row for (row,) in database.execute(snapshot_query(database)).fetchall()}


def of_rows(rows: set[str]) -> set[str]:
    """Return rows without the marks of deleted users."""
    return {row for row in rows if not row.startswith("deleted_users ")}


async def exported(parley: Parley, path: str = EXPORT, user: str = VICTIM) -> list[dict[str, Any]]:
    """Return the lines of a user's export."""
    response = await parley.client.get(path, headers=headers_of(user))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    return [json.loads(line) for line in response.text.splitlines()]


def test_the_catalog_lists_the_tables_that_hold_a_users_data(database: psycopg.Connection) -> None:
    assert {*tables_of_users(database)} == {*tables(database)} - WITHOUT_OWNER


async def test_the_export_has_every_row_and_column_of_a_user_except_secrets(
    parley: Parley, database: psycopg.Connection
) -> None:
    rows = fill(database, VICTIM)
    fill(database, BYSTANDER)

    *lines, end = await exported(parley)

    assert end == {"type": "end", "complete": True}
    # A file has its bytes in lines of their own, and the messages that have it in its own line.
    file, link = rows.pop("chat_files"), rows.pop("message_files")
    del file["bytes"]
    file |= {"type": "file", "message_ids": [link["chat_message_id"]]}
    text = base64.b64encode(bytes(32)).decode()
    content = {"type": "file_bytes", "file_id": file["id"], "first_byte": 0, "bytes": text}
    assert [lines.pop(-2), lines.pop()] == [file, content]
    kinds = [line.pop("type") for line in lines]
    assert len({*kinds}) == len(kinds) == len(rows)
    for table, row in rows.items():
        assert {name: value for name, value in row.items() if name not in SECRETS} in lines, table


@pytest.mark.environment(MESSAGES_PER_DAY="5")
async def test_the_export_has_the_callers_counter_and_no_other_ones(
    parley: Parley, database: psycopg.Connection
) -> None:
    for user in (VICTIM, BYSTANDER, BYSTANDER, None):
        await parley.say("Hello!", user=user)

    [counter] = [line for line in await exported(parley) if line.pop("type") == "quota"]

    assert counter["day_count"] == 1
    rows = [row for (row,) in database.execute("SELECT to_jsonb(quotas) FROM quotas").fetchall()]
    assert len(rows) == 3
    assert counter in rows


@pytest.mark.environment(MESSAGES_PER_DAY="2")
async def test_of_a_deleted_user_a_keyed_hash_with_the_counts_of_the_day_stays_until_its_end(
    parley: Parley, database: psycopg.Connection
) -> None:
    for _ in range(2):
        await parley.say("Hello!", user=VICTIM)
    await parley.client.delete("/api/auth", headers=headers_of(VICTIM))

    [(row, subject)] = database.execute("SELECT quotas::text, subject FROM quotas").fetchall()
    assert stored(database) >= {f"quotas {row}"}
    assert re.fullmatch(r"user [0-9a-f]{64}", subject)
    assert VICTIM not in row
    # A fresh account of the same user has no fresh quota.
    later = headers_of(VICTIM, iat=time.time() + 1)
    export = await parley.client.get(EXPORT, headers=later)
    assert [json.loads(line)["type"] for line in export.text.splitlines()] == ["quota", "end"]
    sent = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=later)
    problem_of(sent, 429, "quota_exceeded")

    database.execute("UPDATE quotas SET day_ends_at = now() - interval '1 s'")
    await parley.client.get(CLEANUP, headers=CRON)
    assert database.execute("SELECT count(*) FROM quotas").fetchall() == [(0,)]


async def test_the_export_ignores_a_user_that_the_request_names(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, VICTIM)
    fill(database, BYSTANDER)

    lines = await exported(parley, f"{EXPORT}&user_id={BYSTANDER}&sub={BYSTANDER}&all=true")

    # The messages of a file stand in its line, and its bytes in a line of their own.
    assert len(lines) == len(tables_of_users(database)) + 1
    assert BYSTANDER not in str(lines)


async def test_a_deleted_user_leaves_no_rows_and_other_users_lose_none(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, BYSTANDER)
    of_others = stored(database)
    rows = fill(database, VICTIM)

    response = await parley.client.delete("/api/auth", headers=headers_of(VICTIM))

    assert (response.status_code, response.text) == (204, "")
    assert database.execute("SELECT count(*) FROM deleted_users").fetchone() == (1,)
    left = of_rows(stored(database))
    assert left == of_others
    for trace in (VICTIM, rows["conversations"]["id"]):
        assert not any(trace in row for row in left)


async def test_a_deleted_user_may_come_back_and_finds_an_empty_export(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, VICTIM)
    await parley.client.delete("/api/auth", headers=headers_of(VICTIM))
    later = headers_of(VICTIM, iat=time.time() + 1)

    response = await parley.client.get(EXPORT, headers=later)
    assert response.json() == {"type": "end", "complete": True}
    assert (await parley.client.delete("/api/auth", headers=later)).status_code == 204
    sent = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=later)
    assert sent.status_code == 200


async def test_deleting_a_user_deletes_more_conversations_than_one_statement(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, BYSTANDER)
    of_others = stored(database)
    fill(database, VICTIM)
    add_conversations(database, 120)

    await parley.client.delete("/api/auth", headers=headers_of(VICTIM))

    assert of_rows(stored(database)) == of_others


async def test_an_export_is_read_in_pages_without_gap_or_overlap(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, BYSTANDER)
    database.execute("INSERT INTO users (id) VALUES (%s)", [VICTIM])
    conversation = add_conversations(database, 401)[0]
    add_messages(database, conversation, 650)
    add_tasks(database, 400)

    *lines, end = await exported(parley)

    assert end == {"type": "end", "complete": True}
    kinds = ["user", *["conversation"] * 401, *["message"] * 650, *["task"] * 400]
    assert [line["type"] for line in lines] == kinds
    assert len({(line["type"], line["id"]) for line in lines}) == len(lines)
    contents = [line["content"] for line in lines if line["type"] == "message"]
    # Oldest first; many have the same time.
    assert contents == [str(number) for number in range(650)]


async def test_a_database_error_midway_ends_the_export_with_an_incomplete_line(
    parley: Parley, database: psycopg.Connection
) -> None:
    fill(database, VICTIM)
    # The export reads this table last.
    database.execute("ALTER TABLE tasks RENAME TO lost_tasks")

    *lines, end = await exported(parley)

    assert {"user", "conversation", "message"} <= {line["type"] for line in lines}
    assert (end["type"], end["complete"]) == ("end", False)
    assert end["code"] == "database_not_migrated"
    database.execute("ALTER TABLE lost_tasks RENAME TO tasks")
    rest = await exported(parley, f"{EXPORT}&cursor={end['cursor']}")
    assert (rest[0]["type"], rest[-1]) == ("task", {"type": "end", "complete": True})


@pytest.mark.environment(DB_POOL_TIMEOUT="1")
async def test_a_lost_database_midway_ends_the_export_with_an_incomplete_line(
    database: psycopg.Connection,
    switchboard: Switchboard,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(database, VICTIM)
    async with (
        proxied(environment["DATABASE_URL"]) as (proxy, url),
        running_product(switchboard, monkeypatch, environment | {"DATABASE_URL": url}) as parley,
    ):
        with database.transaction():
            # The export waits for its last table.
            database.execute("LOCK TABLE tasks")
            async with parley.client.stream("GET", EXPORT, headers=headers_of(VICTIM)) as response:
                lines = response.aiter_lines()
                kinds = [json.loads(await anext(lines))["type"] for _ in range(4)]
                proxy.refuses = True
                proxy.cut()
                [end] = [json.loads(line) async for line in lines]

    assert kinds == ["user", "known_network", "user_settings", "conversation"]
    assert (end["type"], end["complete"]) == ("end", False)
    assert end["code"] == "database_unavailable"


async def test_any_error_midway_ends_the_export_with_an_incomplete_line(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, VICTIM)
    # A bug, whose statement Postgres refuses.
    monkeypatch.setattr(lib.conversations.export, "BATCH", -1)

    *lines, end = await exported(parley)

    assert [line["type"] for line in lines] == ["user", "known_network", "user_settings"]
    assert (end["type"], end["complete"], end["code"]) == ("end", False, "internal_error")


def add_conversations(database: psycopg.Connection, count: int) -> list[UUID]:
    """Store `count` conversations of the victim, a hundred with each time."""
    return [
        conversation_id
        for (conversation_id,) in database.execute(
            """
            INSERT INTO conversations (user_id, updated_at)
            SELECT %s, now() - make_interval(hours => n / 100) FROM generate_series(1, %s) AS n
            RETURNING id
            """,
            [VICTIM, count],
        ).fetchall()
    ]


def add_messages(database: psycopg.Connection, conversation: UUID, count: int) -> None:
    """Store `count` messages of the victim, with the texts 0, 1, 2, …; ninety with each time."""
    database.execute(
        """
        INSERT INTO chat_messages (conversation_id, user_id, role, content, created_at)
        SELECT %s, %s, 'user', n, now() - interval '1 day' + make_interval(secs => n / 90)
        FROM generate_series(0, %s - 1) AS n ORDER BY n
        """,
        [conversation, VICTIM, count],
    )


def add_tasks(database: psycopg.Connection, count: int) -> None:
    """Store `count` tasks of the victim."""
    database.execute(
        "INSERT INTO tasks (user_id, title) SELECT %s, n FROM generate_series(1, %s) AS n",
        [VICTIM, count],
    )
