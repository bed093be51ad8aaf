"""The export goes on where an earlier response of it has ended."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import psycopg
import pytest
from starlette.types import Message

import lib.conversations.export
import lib.runtime.deadlines
from lib.conversations.export import Batch, Export, Pace, Place
from lib.identity.callers import Caller
from tests.support.product import Parley, headers_of, problem_of

EXPORT = "/api/conversations?export=true"
ADA = "ada"
# Of many kinds; the messages of a conversation have few times.
ROWS = """
    INSERT INTO users (id) VALUES ('ada'), ('bob');
    INSERT INTO conversations (id, user_id)
    SELECT md5(n::text)::uuid, 'ada' FROM generate_series(1, 40) AS n;
    INSERT INTO chat_messages (conversation_id, user_id, role, content, created_at)
    SELECT
        md5((n % 40 + 1)::text)::uuid, 'ada', 'user', repeat(n || ' ', n % 7 * 100),
        now() - interval '1 day' + make_interval(secs => n / 90)
    FROM generate_series(0, 399) AS n;
    INSERT INTO tasks (user_id, title) SELECT 'ada', n FROM generate_series(1, 40) AS n;
    INSERT INTO chat_files (id, user_id, media_type, size, bytes)
    SELECT
        md5(n::text)::uuid, 'ada', 'text/plain', 9000,
        convert_to(repeat('abcdefghi', 1000), 'UTF8')
    FROM generate_series(1, 3) AS n;
"""


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each export end after its first batch, and batches be small."""
    monkeypatch.setattr(lib.runtime.deadlines, "STORE_SECONDS", 1e9)
    monkeypatch.setattr(lib.runtime.deadlines, "STORE_SHARE", 1.0)
    monkeypatch.setattr(lib.conversations.export, "BATCH", 17)
    monkeypatch.setattr(lib.conversations.export, "FIRST_BYTES", 4000)


async def responses(parley: Parley) -> AsyncGenerator[list[dict[str, Any]]]:
    """Yield the lines of one response after the other, until the export is complete."""
    path = EXPORT
    while True:
        response = await parley.client.get(path, headers=headers_of(ADA))
        assert response.status_code == 200, response.text
        *lines, end = [json.loads(line) for line in response.text.splitlines()]
        yield lines
        if end == {"type": "end", "complete": True}:
            return
        assert {*end} == {"type", "complete", "cursor"}
        path = f"{EXPORT}&cursor={end['cursor']}"


def keys_of(lines: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return what tells each row from all others."""
    return [
        (line["type"], str(line.get("id", line.get("file_id"))), str(line.get("first_byte")))
        for line in lines
        if line["type"] != "cursor"
    ]


@pytest.mark.usefixtures("no_time")
async def test_an_export_in_many_responses_has_each_row_once(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute(ROWS)

    parts = [lines async for lines in responses(parley)]

    assert len(parts) > 30
    keys = [key for lines in parts for key in keys_of(lines)]
    assert len({*keys}) == len(keys)
    lines = [line for lines in parts for line in lines]
    rows = [line["type"] for line in lines if line["type"] != "file_bytes"]
    assert rows == [
        "user", *["conversation"] * 40, *["message"] * 400, *["task"] * 40, *["file"] * 3,
    ]  # fmt: skip
    # The bytes of each file come in lines of which each ends where the next begins.
    pieces = [line["bytes"] for line in lines if line["type"] == "file_bytes"]
    assert len(pieces) > 6
    assert "".join(pieces) == "YWJjZGVmZ2hp" * 3000


@pytest.mark.usefixtures("no_time")
async def test_rows_that_come_and_go_between_two_responses_neither_hide_nor_double_others(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute(ROWS)
    of_ada = "SELECT id::text FROM chat_messages WHERE user_id = 'ada'"
    before = {row for (row,) in database.execute(of_ada).fetchall()}
    seen: list[str] = []

    async for lines in responses(parley):
        seen += [str(line["id"]) for line in lines if line["type"] == "message"]
        # Before, at and behind the place that the export has reached.
        database.execute(
            """
            DELETE FROM chat_messages WHERE id IN (
                SELECT id FROM chat_messages WHERE user_id = 'ada' ORDER BY random() LIMIT 3
            )
            """
        )
        database.execute(
            """
            INSERT INTO chat_messages (conversation_id, user_id, role, content, created_at)
            SELECT md5('1')::uuid, 'ada', 'user', 'new', now() - make_interval(hours => hours)
            FROM unnest('{0, 12, 48}'::integer[]) AS new (hours)
            """
        )

    left = {row for (row,) in database.execute(of_ada).fetchall()}
    assert len({*seen}) == len(seen)
    assert before & left <= {*seen}


async def test_an_export_whose_connection_broke_goes_on_from_its_last_line_with_a_cursor(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.conversations.export, "BATCH", 17)
    monkeypatch.setattr(lib.conversations.export, "CURSOR_BYTES", 20_000)
    database.execute(ROWS)
    whole = await parley.client.get(EXPORT, headers=headers_of(ADA))
    everything = keys_of([json.loads(line) for line in whole.text.splitlines()][:-1])

    for received in range(0, len(whole.content), 40_000):
        kept, cursor = whole_lines(whole.content[:received])
        path = EXPORT if cursor is None else f"{EXPORT}&cursor={cursor}"
        rest = await parley.client.get(path, headers=headers_of(ADA))
        lines = [*kept, *(json.loads(line) for line in rest.text.splitlines())]

        assert keys_of(lines[:-1]) == everything, received


def whole_lines(received: bytes) -> tuple[list[dict[str, Any]], str | None]:
    """Return the lines up to the last cursor, and the cursor."""
    lines = [json.loads(line) for line in received.splitlines()[:-1]]
    places = [index for index, line in enumerate(lines) if line["type"] == "cursor"]
    return (lines[: places[-1]], lines[places[-1]]["cursor"]) if places else ([], None)


@pytest.mark.usefixtures("no_time")
async def test_a_cursor_that_the_caller_did_not_get_is_refused(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute(ROWS)
    cursor = (await last_line(parley, ADA))["cursor"]
    of_bob = (await last_line(parley, "bob"))["cursor"]

    for wrong in _wrong_cursors(cursor, of_bob):
        response = await parley.client.get(f"{EXPORT}&cursor={wrong}", headers=headers_of(ADA))
        problem = problem_of(response, 422, "invalid_request")
        assert [error["field"] for error in problem["errors"]] == ["cursor"], wrong


def _wrong_cursors(cursor: str, of_bob: str) -> Iterator[str]:
    yield of_bob
    yield from ("x", "!", "é", "W10", "A" * 4000, "A" * 4001)
    # Each with one other character; the last one may have bits that mean nothing.
    for index in range(0, len(cursor) - 1, 5):
        other = "A" if cursor[index] != "A" else "B"
        yield cursor[:index] + other + cursor[index + 1 :]


async def last_line(parley: Parley, user: str) -> dict[str, Any]:
    response = await parley.client.get(EXPORT, headers=headers_of(user))
    return json.loads(response.text.splitlines()[-1])


async def test_an_export_whose_reader_has_left_reads_no_more(default_settings: None) -> None:
    del default_settings
    read: list[int] = []
    sent: list[Message] = []

    async def later() -> AsyncGenerator[Batch]:
        for number in range(9):
            read.append(number)
            yield Batch(b"{}\n", Place("message"))
            await asyncio.sleep(0)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    first = Batch(b"{}\n", Place("message"))
    await Export(first, later(), Pace(), Caller(user_id=ADA))({}, receive, send)

    assert len(read) <= 1
    assert json.loads(sent[-1]["body"])["complete"] is False
