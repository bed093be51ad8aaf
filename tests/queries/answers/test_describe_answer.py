"""describe_answer."""

from typing import Any
from uuid import uuid4

import pytest

from lib.answers._analysis import DESCRIBE_ANSWER
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, act_as

ANALYSIS: dict[str, Any] = {
    "tone": "casual",
    "behavior": "cautious",
    "context_type": "cooking",
    "signal_strength": 0.7,
    "context_clarity": True,
    "needs_knowledge": True,
}
DESCRIBED = f"""
    SELECT {", ".join(ANALYSIS)} FROM chat_messages
    WHERE role = 'assistant' ORDER BY id
"""
NOTHING = (None, None, None, None, None, False)


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_describe_answer_stores_the_analysis_and_changes_nothing_else(
    turns: Turns, rows: Rows, user_id: str | None
) -> None:
    other_columns = (
        "SELECT id, content, finish_reason, persona, created_at, updated_at FROM chat_messages"
    )
    await turns.exchange(1, user_id=user_id)
    before = rows.run(other_columns)

    assert await _describe(turns, user_id=user_id)

    assert rows.run(DESCRIBED) == [tuple(ANALYSIS.values())]
    assert rows.run(other_columns) == before
    assert rows.run("SELECT tone FROM chat_messages WHERE role = 'user'") == [(None,)]


async def test_a_tone_and_behavior_that_the_request_chose_stay(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin()
    await turns.finish(begun, tone="technical", behavior="normal")

    assert await _describe(turns)

    expected = ANALYSIS | {"tone": "technical", "behavior": "normal"}
    assert rows.run(DESCRIBED) == [tuple(expected.values())]


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_answer_is_not_described(
    turns: Turns, rows: Rows, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert not await _describe(turns, user_id=intruder)
    assert rows.run(DESCRIBED) == [NOTHING]


async def test_a_replaced_answer_is_not_described(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert not await _describe(turns)
    assert rows.run(DESCRIBED) == [NOTHING]


async def test_an_answer_of_a_deleted_conversation_is_not_described(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    rows.run("DELETE FROM conversations")

    assert not await _describe(turns)


async def test_a_message_id_is_described_only_in_its_conversation(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    turns.conversation_id = uuid4()

    assert not await _describe(turns)
    assert rows.run(DESCRIBED) == [NOTHING]


async def _describe(turns: Turns, *, user_id: str | None = None) -> bool:
    _, stored = await turns.database.run(
        act_as(user_id, turns.conversation_id),
        DESCRIBE_ANSWER(
            conversation_id=turns.conversation_id,
            user_id=user_id,
            answer_message_id="answer-1",
            **ANALYSIS,
        ),
    )
    return bool(stored)
