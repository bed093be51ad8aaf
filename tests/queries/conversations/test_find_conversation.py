"""find_conversation."""

from datetime import timedelta
from uuid import uuid4

import pytest

from lib.conversations.conversation import FIND_CONVERSATION, Conversation
from tests.support.steps.turns import Turns


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_only_the_callers_conversation_is_found(turns: Turns, user_id: str | None) -> None:
    await turns.begin(user_id=user_id, title="A greeting")

    conversations = {
        caller: await turns.database.run(
            FIND_CONVERSATION(
                conversation_id=turns.conversation_id,
                user_id=caller,
                retention_days=30,
                now=turns.now,
            )
        )
        for caller in ("ada", "eve", None)
    }

    assert conversations.pop(user_id) == [
        Conversation(
            id=turns.conversation_id,
            title="A greeting",
            status="active",
            created_at=turns.now,
            updated_at=turns.now,
            model=None,
        )
    ]
    assert list(conversations.values()) == [[], []]


async def test_an_unknown_conversation_is_not_found(turns: Turns) -> None:
    unknown = FIND_CONVERSATION(
        conversation_id=uuid4(), user_id=None, retention_days=30, now=turns.now
    )

    assert await turns.database.run(unknown) == []


@pytest.mark.parametrize(("retention_days", "is_found"), [(30, False), (32, True), (0, True)])
async def test_a_conversation_that_was_not_used_for_the_retention_period_is_not_found(
    turns: Turns, retention_days: int, *, is_found: bool
) -> None:
    await turns.begin()

    conversations = await turns.database.run(
        FIND_CONVERSATION(
            conversation_id=turns.conversation_id,
            user_id=None,
            retention_days=retention_days,
            now=turns.now + timedelta(days=31),
        )
    )

    assert bool(conversations) is is_found
