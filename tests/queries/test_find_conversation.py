"""find_conversation."""

from uuid import uuid4

import pytest

from lib.conversations import FIND_CONVERSATION, Conversation
from tests.queries.turns import Turns


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_the_callers_conversation_is_found_and_nobody_elses(
    turns: Turns, user_id: str | None
) -> None:
    await turns.begin(user_id=user_id, title="A greeting")

    found = {
        who: await turns.database.run(
            FIND_CONVERSATION(conversation_id=turns.conversation_id, user_id=who)
        )
        for who in ("ada", "eve", None)
    }

    assert found.pop(user_id) == [
        Conversation(
            id=turns.conversation_id,
            title="A greeting",
            status="active",
            created_at=turns.now,
            updated_at=turns.now,
        )
    ]
    assert list(found.values()) == [[], []]


async def test_an_unknown_conversation_is_not_found(turns: Turns) -> None:
    unknown = FIND_CONVERSATION(conversation_id=uuid4(), user_id=None)

    assert await turns.database.run(unknown) == []
