"""The number of messages that a conversation keeps, and the last one: as a count finds them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from lib.database.statements import Call
from lib.operations.clean_up import DELETE_OLD_CHAT_MESSAGES
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

COUNTED = """
    SELECT
        count(*)::integer,
        (array_agg(left(content, 120) ORDER BY id DESC))[1]
    FROM chat_messages
    WHERE conversation_id = %s AND superseded_at IS NULL AND role <> 'system'
"""
KEPT = "SELECT message_count, last_message FROM conversations WHERE id = %s"


def check(turns: Turns, rows: Rows, expected: tuple[int, str]) -> None:
    """Check the kept columns of the conversation, and that a count finds the same."""
    assert rows.run(KEPT, turns.conversation_id) == [expected]
    assert rows.run(COUNTED, turns.conversation_id) == [expected]


async def test_each_message_of_a_conversation_is_counted_when_it_is_stored(
    turns: Turns, rows: Rows
) -> None:
    for number in (1, 2, 3):
        begun = await turns.begin(f"Question {number}", message_id=f"question-{number}")
        check(turns, rows, (2 * number - 1, f"Question {number}"))
        await turns.finish(begun, f"Answer {number}", answer_message_id=f"answer-{number}")
        check(turns, rows, (2 * number, f"Answer {number}"))


async def test_a_repeated_message_and_a_repeated_answer_are_counted_once(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("Question 2", message_id="question-2")
    await turns.begin("Question 2", message_id="question-2", turn_id=begun.turn_id)
    check(turns, rows, (3, "Question 2"))

    for _ in range(2):
        await turns.finish(begun, "Answer 2", answer_message_id="answer-2")
    check(turns, rows, (4, "Answer 2"))


async def test_messages_that_an_edit_replaces_are_counted_no_longer(
    turns: Turns, rows: Rows
) -> None:
    for number in (1, 2, 3):
        await turns.exchange(number)

    begun = await turns.begin("Better put", message_id="question-2")
    check(turns, rows, (3, "Better put"))
    await turns.finish(begun, "Better answered", answer_message_id="answer-4")
    check(turns, rows, (4, "Better answered"))


async def test_an_answer_that_is_made_again_takes_the_place_of_the_old_one(
    turns: Turns, rows: Rows
) -> None:
    for number in (1, 2):
        await turns.exchange(number)

    begun = await turns.begin(None, message_id=None, regenerates=True, answer_message_id="answer-1")
    check(turns, rows, (4, "Answer 2"))
    await turns.finish(begun, "Another answer", answer_message_id="answer-3")
    check(turns, rows, (2, "Another answer"))


async def test_a_turn_without_an_answer_leaves_its_question_counted(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("Question 2", message_id="question-2")
    await turns.release(begun)

    check(turns, rows, (3, "Question 2"))


async def test_a_system_message_is_not_counted(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    add_by_hand(turns, rows, "system")

    await turns.exchange(2)

    check(turns, rows, (4, "Answer 2"))


async def test_a_number_that_is_unknown_is_counted_by_the_next_message(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    add_by_hand(turns, rows, "user")
    rows.run("UPDATE conversations SET message_count = NULL, last_message = NULL")

    await turns.begin("Question 2", message_id="question-2")

    check(turns, rows, (4, "Question 2"))


async def test_a_message_that_is_deleted_by_hand_makes_the_number_unknown(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    other = await turns.exchange(1, conversation_id=uuid4())

    rows.run("DELETE FROM chat_messages WHERE conversation_id = %s", turns.conversation_id)

    assert rows.run(KEPT, turns.conversation_id) == [(None, None)]
    assert rows.run(KEPT, other.conversation_id) == [(2, "Answer 1")]


async def test_a_turn_and_a_deletion_by_hand_of_the_same_moment_leave_no_wrong_number(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    rows.run("UPDATE conversations SET message_count = NULL, last_message = NULL")

    # The turn counts after the deletion, for which it waits.
    async with rows.uncommitted("DELETE FROM chat_messages WHERE message_id = 'answer-1'"):
        beginning = asyncio.create_task(turns.begin("Question 2", message_id="question-2"))
        await rows.until_waiting(1)
    begun = await beginning
    check(turns, rows, (2, "Question 2"))

    # The deletion waits for a turn that is ending, and takes its number away.
    await turns.release(begun)
    rows.run("UPDATE conversations SET message_count = NULL, last_message = NULL")
    counting = "UPDATE conversations SET message_count = 2, last_message = 'Question 2'"
    async with rows.uncommitted(counting):
        deletion = "DELETE FROM chat_messages WHERE message_id = 'question-2'"
        deleting = asyncio.create_task(_commit(rows, deletion))
        await rows.until_waiting(1)
    await deleting
    assert rows.run(KEPT, turns.conversation_id) == [(None, None)]


async def test_an_answer_after_a_deletion_leaves_no_text_where_the_number_is_unknown(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("Question 2", message_id="question-2")
    rows.run("DELETE FROM chat_messages WHERE message_id = 'answer-1'")

    await turns.finish(begun, "Answer 2", answer_message_id="answer-2")

    assert rows.run(KEPT, turns.conversation_id) == [(None, None)]


@pytest.mark.parametrize("number", [1, 99])
async def test_a_question_is_told_though_the_number_of_messages_is_wrong(
    turns: Turns, rows: Rows, number: int
) -> None:
    await turns.exchange(1)
    rows.run("UPDATE conversations SET message_count = %s", number)

    begun = await turns.begin("Question 2", message_id="question-2")

    assert begun.prompt[-1] == "Question 2"


async def test_the_clean_up_leaves_no_text_of_a_deleted_message_in_its_conversation(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    rows.run("UPDATE chat_messages SET created_at = now() - interval '31 days'")

    assert await clean_up(turns) == 2

    assert rows.run(KEPT, turns.conversation_id) == [(None, None)]


async def test_the_clean_up_leaves_a_conversation_that_somebody_holds_until_the_next_one(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    other = await turns.exchange(1, conversation_id=uuid4())
    rows.run("UPDATE chat_messages SET created_at = now() - interval '31 days'")
    held = "SELECT FROM conversations WHERE id = %(id)s FOR UPDATE"

    async with rows.uncommitted(held, {"id": turns.conversation_id}):
        assert await clean_up(turns) == 2
    assert rows.run(KEPT, turns.conversation_id) == [(2, "Answer 1")]
    assert rows.run(KEPT, other.conversation_id) == [(None, None)]

    assert await clean_up(turns) == 2
    assert rows.run(KEPT, turns.conversation_id) == [(None, None)]


async def _commit(rows: Rows, statement: str) -> None:
    async with rows.uncommitted(statement):
        pass


def add_by_hand(turns: Turns, rows: Rows, role: str) -> None:
    """Store a message as an operator does."""
    rows.run(
        "INSERT INTO chat_messages (conversation_id, role, content, created_at) "
        "VALUES (%s, %s, 'By hand', %s)",
        turns.conversation_id,
        role,
        turns.now,
    )


async def clean_up(turns: Turns) -> int:
    """Delete one batch of old messages; return their number."""
    call: Call[Any] = DELETE_OLD_CHAT_MESSAGES(
        retention_days=30, batch_size=100, since=None, until=None
    )
    [batch] = await turns.database.run(call)
    return batch.deleted
