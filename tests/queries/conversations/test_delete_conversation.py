"""delete_conversation."""

from uuid import UUID, uuid4

import pytest

from lib.conversations.changes import DELETE_CONVERSATION
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, act_as

LEFT = "SELECT (SELECT count(*) FROM conversations), (SELECT count(*) FROM chat_messages)"


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_a_conversation_is_deleted_with_its_messages_and_no_other(
    turns: Turns, rows: Rows, user_id: str | None
) -> None:
    await turns.exchange(1, user_id=user_id)
    await turns.exchange(1, user_id=user_id, conversation_id=uuid4())

    assert await _delete(turns, user_id) == [turns.conversation_id]
    assert await _delete(turns, user_id) == []

    assert rows.run(LEFT) == [(1, 2)]


async def test_an_answer_being_made_in_a_deleted_conversation_is_not_stored(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")

    assert await _delete(turns, "ada")

    assert await turns.finish(begun) == []
    assert not await turns.release(begun)
    assert rows.run(LEFT) == [(0, 0)]


async def test_a_message_may_create_a_deleted_conversation_again(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, user_id="ada")
    await _delete(turns, "ada")

    assert (await turns.begin(user_id="ada")).verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Hello!"]


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_conversation_is_not_deleted(
    turns: Turns, rows: Rows, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert await _delete(turns, intruder) == []

    assert rows.run(LEFT) == [(1, 2)]


@pytest.mark.parametrize(("retention_days", "is_there"), [(29, False), (30, True), (0, True)])
async def test_an_expired_conversation_is_not_found_for_deletion(
    turns: Turns, retention_days: int, *, is_there: bool
) -> None:
    await turns.begin(user_id="ada")
    turns.wait(days=30)

    assert bool(await _delete(turns, "ada", retention_days)) is is_there


async def _delete(turns: Turns, user_id: str | None, retention_days: int = 30) -> list[UUID]:
    _, deleted = await turns.database.run(
        act_as(user_id, turns.conversation_id),
        DELETE_CONVERSATION(
            conversation_id=turns.conversation_id,
            user_id=user_id,
            retention_days=retention_days,
            now=turns.now,
        ),
    )
    return [row.id for row in deleted]
