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

    found = {who: await _lock(turns, who) for who in ("ada", "eve", None)}

    assert [who for who, ids in found.items() if ids == [turns.conversation_id]] == [user_id]
    assert [ids for who, ids in found.items() if who != user_id] == [[], []]


async def test_a_second_session_waits_for_the_lock_of_the_first(turns: Turns, rows: Rows) -> None:
    await turns.begin()
    whose = {"conversation_id": turns.conversation_id, "user_id": None}
    async with rows.uncommitted(LOCK_CONVERSATION.sql, whose):
        second = asyncio.create_task(_lock(turns, None))
        await rows.until_waiting(1)
        assert not second.done()

    assert await second == [turns.conversation_id]


async def test_messages_may_be_stored_in_a_locked_conversation(turns: Turns, rows: Rows) -> None:
    await turns.begin()
    whose = {"conversation_id": turns.conversation_id, "user_id": None}
    async with rows.uncommitted(LOCK_CONVERSATION.sql, whose):
        rows.run("SET lock_timeout = '1s'")
        rows.run(
            "INSERT INTO chat_messages (conversation_id, role, content) VALUES (%s, 'user', 'Hi')",
            turns.conversation_id,
        )


async def _lock(turns: Turns, user_id: str | None) -> list[UUID]:
    whose = LOCK_CONVERSATION(conversation_id=turns.conversation_id, user_id=user_id)
    return [row.id for row in await turns.database.run(whose)]
