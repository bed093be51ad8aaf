"""lock_conversation."""

import asyncio
from uuid import UUID

import pytest

from lib.conversations.conversation import LOCK_CONVERSATION
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_only_the_callers_conversation_is_locked(turns: Turns, user_id: str | None) -> None:
    await turns.begin(user_id=user_id)

    locked = {caller: await _lock(turns, caller) for caller in ("ada", "eve", None)}

    assert [caller for caller, ids in locked.items() if ids == [turns.conversation_id]] == [user_id]
    assert [ids for caller, ids in locked.items() if caller != user_id] == [[], []]


async def test_a_second_session_waits_for_the_lock_of_the_first(turns: Turns, rows: Rows) -> None:
    await turns.begin()
    parameters = {"conversation_id": turns.conversation_id, "user_id": None}
    async with rows.uncommitted(LOCK_CONVERSATION.sql, parameters):
        second = asyncio.create_task(_lock(turns, None))
        await rows.until_waiting(1)
        assert not second.done()

    assert await second == [turns.conversation_id]


async def test_messages_may_be_stored_in_a_locked_conversation(turns: Turns, rows: Rows) -> None:
    await turns.begin()
    parameters = {"conversation_id": turns.conversation_id, "user_id": None}
    async with rows.uncommitted(LOCK_CONVERSATION.sql, parameters):
        rows.run("SET lock_timeout = '1s'")
        rows.run(
            "INSERT INTO chat_messages (conversation_id, role, content) VALUES (%s, 'user', 'Hi')",
            turns.conversation_id,
        )


async def _lock(turns: Turns, user_id: str | None) -> list[UUID]:
    parameters = LOCK_CONVERSATION(conversation_id=turns.conversation_id, user_id=user_id)
    return [row.id for row in await turns.database.run(parameters)]
