"""mark_mistake."""

from typing import Any

import pytest

from lib.conversations.mistakes import MARK_MISTAKE
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns, act_as

MARKS = "SELECT message_id, is_mistake, mistake_note FROM chat_messages ORDER BY id"
UNMARKED = [("question-1", False, None), ("answer-1", False, None)]


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_an_answer_is_marked_as_a_mistake_with_a_note(
    turns: Turns, rows: Rows, user_id: str | None
) -> None:
    await turns.exchange(1, user_id=user_id)
    turns.wait(days=1)

    assert await _mark(turns, user_id=user_id, mistake_note="It is 4.")

    assert rows.run(MARKS) == [("question-1", False, None), ("answer-1", True, "It is 4.")]
    assert rows.run("SELECT updated_at, content FROM chat_messages ORDER BY id") == [
        (NOON, "Question 1"), (turns.now, "Answer 1"),
    ]  # fmt: skip


async def test_removing_a_mark_removes_its_note(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await _mark(turns, mistake_note="It is 4.")

    assert await _mark(turns, is_mistake=False, mistake_note="It is 4.")

    assert rows.run(MARKS) == UNMARKED


async def test_a_second_mark_replaces_the_note(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await _mark(turns, mistake_note="It is 4.")

    assert await _mark(turns)

    assert rows.run(MARKS)[1] == ("answer-1", True, None)


@pytest.mark.parametrize("message_id", ["question-1", "unknown"])
async def test_a_user_message_is_not_marked(turns: Turns, rows: Rows, message_id: str) -> None:
    await turns.exchange(1)

    assert not await _mark(turns, message_id=message_id)
    assert rows.run(MARKS) == UNMARKED


async def test_a_replaced_answer_is_not_marked(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert not await _mark(turns)
    assert rows.run(MARKS)[:2] == UNMARKED


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_answer_is_not_marked(
    turns: Turns, rows: Rows, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert not await _mark(turns, user_id=intruder)
    assert rows.run(MARKS) == UNMARKED


@pytest.mark.parametrize(
    ("days", "retention_days", "is_marked"),
    [(30, 30, True), (30.1, 30, False), (4000, 0, True)],
)
async def test_an_expired_answer_is_not_marked(
    turns: Turns, days: float, retention_days: int, *, is_marked: bool
) -> None:
    await turns.exchange(1)
    turns.wait(days=days)

    assert await _mark(turns, retention_days=retention_days) == is_marked


async def _mark(
    turns: Turns, *, user_id: str | None = None, message_id: str = "answer-1", **parameters: Any
) -> bool:
    defaults = {"is_mistake": True, "mistake_note": None, "retention_days": 30, "now": turns.now}
    conversation = {"conversation_id": turns.conversation_id, "user_id": user_id}
    _, marked = await turns.database.run(
        act_as(user_id, turns.conversation_id),
        MARK_MISTAKE(**conversation, message_id=message_id, **(defaults | parameters)),
    )
    return bool(marked)
