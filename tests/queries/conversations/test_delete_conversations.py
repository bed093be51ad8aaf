"""delete_conversations."""

import asyncio
from uuid import UUID

from lib.conversations.changes import DELETE_CONVERSATIONS
from lib.database.client import Database
from tests.support.steps.rows import Rows
from tests.support.steps.turns import act_as

COUNT = "SELECT count(*) FROM conversations"


async def test_a_batch_of_the_callers_conversations_is_deleted_and_the_last_batch_is_smaller(
    pool: Database, rows: Rows
) -> None:
    _add(rows, "ada", 7)
    _add(rows, "eve", 3)

    sizes = [len(await _delete(pool, batch_size=3)) for _ in range(4)]

    assert sizes == [3, 3, 1, 0]
    assert rows.run("SELECT DISTINCT user_id FROM conversations") == [("eve",)]


async def test_an_anonymous_caller_deletes_no_conversations(pool: Database, rows: Rows) -> None:
    _add(rows, None, 3)

    assert await _delete(pool, None) == []

    assert rows.run(COUNT) == [(3,)]


async def test_a_deletion_that_waits_for_another_still_deletes_a_full_batch(
    pool: Database, rows: Rows
) -> None:
    _add(rows, "ada", 8)
    first = DELETE_CONVERSATIONS(user_id="ada", batch_size=3)
    async with rows.uncommitted(first.statement.sql, first.parameters):
        second = asyncio.create_task(_delete(pool, batch_size=3))
        await rows.until_waiting(1)

    # A smaller batch would mean that none is left.
    assert len(await second) == 3
    assert rows.run(COUNT) == [(2,)]


def _add(rows: Rows, user_id: str | None, count: int) -> None:
    rows.run("INSERT INTO users (id) SELECT %s WHERE %s", user_id or "", user_id is not None)
    rows.run(
        "INSERT INTO conversations (user_id) SELECT %s FROM generate_series(1, %s)", user_id, count
    )


async def _delete(
    pool: Database, user_id: str | None = "ada", *, batch_size: int = 50
) -> list[UUID]:
    _, deleted = await pool.run(
        act_as(user_id), DELETE_CONVERSATIONS(user_id=user_id, batch_size=batch_size)
    )
    return [row.id for row in deleted]
