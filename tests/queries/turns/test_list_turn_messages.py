"""list_turn_messages."""

from typing import Any
from uuid import uuid4

import pytest

from lib.files.limits import told_limits
from lib.turns.begin import LIST_TURN_MESSAGES
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, contents


async def test_list_turn_messages_returns_the_last_messages_up_to_the_question_oldest_first(
    turns: Turns,
) -> None:
    for number in range(1, 5):
        await turns.exchange(number)

    assert await _read(turns, message_id="question-4", history_messages=3) == [
        "Question 3", "Answer 3", "Question 4", "Answer 4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("history_messages", "first_of_each"),
    [
        # The number of the first message in the window of each question, from 0.
        (8, [0, 0, 0, 0, 4, 4, 8, 8, 12, 12]),
        (7, [0, 0, 0, 0, 4, 4, 8, 8, 12, 12]),
        (3, [0, 0, 2, 4, 6, 8, 10, 12, 14, 16]),
        (2, [0, 1, 3, 5, 7, 9, 11, 13, 15, 17]),
        (1, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
    ],
)
async def test_the_window_stays_until_it_is_full_and_then_moves_by_half_its_size(
    turns: Turns, history_messages: int, first_of_each: list[int]
) -> None:
    texts: list[str] = []
    first_messages: list[int] = []
    for number in range(len(first_of_each)):
        await turns.exchange(number)
        read = await _read(
            turns, message_id=f"question-{number}", history_messages=history_messages
        )
        texts += [f"Question {number}", f"Answer {number}"]
        first_messages.append(texts.index(read[0]))
        assert read == texts[first_messages[-1] :]

    assert first_messages == first_of_each


async def test_messages_after_the_question_are_left_out_except_its_answer(
    turns: Turns,
) -> None:
    for number in range(1, 4):
        await turns.exchange(number)

    assert await _read(turns, message_id="question-2") == [
        "Question 1", "Answer 1", "Question 2", "Answer 2",
    ]  # fmt: skip


async def test_system_messages_are_returned_beyond_the_limit(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run(
        """
        INSERT INTO chat_messages (conversation_id, role, content, created_at)
        VALUES (%s, 'system', 'Be brief.', %s)
        """,
        turns.conversation_id,
        turns.now,
    )
    await turns.exchange(2)

    assert await _read(turns, message_id="question-2", history_messages=2) == [
        "Answer 1", "Be brief.", "Question 2", "Answer 2",
    ]  # fmt: skip
    assert await _read(turns, message_id="question-2", history_messages=1) == [
        "Be brief.", "Question 2", "Answer 2",
    ]  # fmt: skip


async def test_the_question_of_the_attempts_turn_wins_over_the_named_message(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    await turns.exchange(2)
    begun = await turns.begin(
        "Question 2", message_id="question-2", regenerates=True, answer_message_id="answer-1"
    )

    # With its answer, which stays current until the new one is stored.
    expected = ["Question 1", "Answer 1"]
    assert await _read(turns, message_id="question-2", turn_id=begun.turn_id) == expected
    assert await _read(turns, message_id=None, turn_id=begun.turn_id) == expected


async def test_a_turn_does_not_read_replaced_messages(turns: Turns) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert await _read(turns, message_id="question-1") == ["Better put"]


async def test_a_turn_does_not_read_expired_messages(turns: Turns) -> None:
    await turns.exchange(1)
    turns.wait(days=31)
    await turns.exchange(2)

    assert await _read(turns, message_id="question-2", retention_days=30) == [
        "Question 2", "Answer 2",
    ]  # fmt: skip
    assert await _read(turns, message_id="question-1", retention_days=30) == []
    assert len(await _read(turns, message_id="question-2", retention_days=0)) == 4


async def test_no_messages_are_returned_for_an_unknown_question_or_another_caller(
    turns: Turns,
) -> None:
    await turns.exchange(1, user_id="ada")

    assert await _read(turns, message_id="unknown", user_id="ada") == []
    assert await _read(turns, message_id="answer-1", user_id="ada") == []
    assert await _read(turns, message_id="question-1", user_id="eve") == []
    assert await _read(turns, message_id="question-1", user_id=None) == []
    assert len(await _read(turns, message_id="question-1", user_id="ada")) == 2


async def _read(turns: Turns, **parameters: Any) -> list[str]:
    defaults = {
        "conversation_id": turns.conversation_id,
        "user_id": None,
        "turn_id": uuid4(),
        "history_messages": 20,
        **told_limits(10),
        "reads_summary": True,
        "retention_days": 0,
        "now": turns.now,
    }
    return contents(await turns.database.run(LIST_TURN_MESSAGES(**defaults | parameters)))
