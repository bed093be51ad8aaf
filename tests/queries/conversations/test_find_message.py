"""find_message."""

from uuid import UUID, uuid4

import pytest

from lib.conversations.history import READ_HISTORY
from lib.conversations.message import Message
from lib.conversations.mistakes import FIND_MESSAGE
from tests.support.steps.turns import Turns, act_as


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_find_message_returns_a_message_as_history_shows_it(
    turns: Turns, user_id: str | None
) -> None:
    await turns.exchange(1, user_id=user_id, metadata='{"a": 1}', files='[{"url": "x"}]')
    _, history = await turns.database.run(
        act_as(user_id, turns.conversation_id),
        READ_HISTORY(
            conversation_id=turns.conversation_id,
            user_id=user_id,
            include_superseded=False,
            include_system=False,
            retention_days=0,
            cursor_id=None,
            page_size=2,
            now=turns.now,
        ),
    )

    messages = [await _find(turns, name, user_id=user_id) for name in ("answer-1", "question-1")]

    assert [message.to_json() for [message] in messages] == [row.to_json() for row in history]


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_message_is_not_found(
    turns: Turns, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert await _find(turns, "answer-1", user_id=intruder) == []


async def test_a_message_id_is_found_only_in_its_conversation(turns: Turns) -> None:
    await turns.exchange(1)

    assert await _find(turns, "answer-1", conversation_id=uuid4()) == []
    assert await _find(turns, "answer-2") == []


async def test_a_replaced_message_is_not_found(turns: Turns) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert await _find(turns, "answer-1") == []
    assert [message.content for message in await _find(turns, "question-1")] == ["Better put"]


async def test_an_expired_message_is_not_found(turns: Turns) -> None:
    await turns.exchange(1)
    turns.wait(days=31)

    assert await _find(turns, "answer-1", retention_days=30) == []
    assert len(await _find(turns, "answer-1", retention_days=32)) == 1


async def _find(
    turns: Turns,
    message_id: str,
    *,
    user_id: str | None = None,
    conversation_id: UUID | None = None,
    retention_days: int = 0,
) -> list[Message]:
    where = conversation_id or turns.conversation_id
    _, messages = await turns.database.run(
        act_as(user_id, where),
        FIND_MESSAGE(
            conversation_id=where,
            user_id=user_id,
            message_id=message_id,
            retention_days=retention_days,
            now=turns.now,
        ),
    )
    return messages
