"""begin_turn: any repetition is answered exactly once, and one turn runs at a time."""

from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.turns import LEASE_SECONDS, NOON, Turns


async def test_a_first_message_creates_the_conversation_and_takes_its_turn(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin("Hello!", title="A greeting", user_id="ada")

    assert begun.verdict == "taken"
    assert begun.prompt == ["Hello!"]
    columns = "user_id, title, status, turn_id, turn_message_id, created_at, updated_at"
    assert rows.run(f"SELECT {columns} FROM conversations") == [
        ("ada", "A greeting", "active", begun.turn_id, "question-1", NOON, NOON)
    ]
    assert rows.run("SELECT user_id, role, message_id, created_at FROM chat_messages") == [
        ("ada", "user", "question-1", NOON)
    ]


async def test_begin_turn_returns_the_conversations_title_from_any_source(
    turns: Turns, rows: Rows
) -> None:
    made = await turns.begin("Hello!", title="A greeting")
    again = await turns.begin("Hello!", title="Not used", turn_id=made.turn_id)
    rows.run("UPDATE conversations SET title = 'My own'")
    renamed = await turns.begin("Hello!", title="Not used")
    rows.run("UPDATE conversations SET title = NULL")
    untitled = await turns.begin("Hello!", title="Not used")
    elsewhere = await turns.begin(None, message_id=None, conversation_id=uuid4(), title="None made")

    titles = [begun.title for begun in (made, again, renamed, untitled, elsewhere)]
    assert titles == ["A greeting", "A greeting", "My own", None, None]


async def test_the_next_message_takes_the_turn_and_moves_updated_at(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    turns.wait(seconds=30)

    begun = await turns.begin("Question 2", message_id="question-2")

    assert begun.verdict == "taken"
    assert begun.prompt == ["Question 1", "Answer 1", "Question 2"]
    assert rows.run("SELECT created_at, updated_at FROM conversations") == [(NOON, turns.now)]


async def test_an_answered_message_sent_twice_is_stored_once_and_gets_its_answer(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)

    again = await turns.begin("Question 1")

    assert again.verdict == "answered"
    assert again.texts == ["Question 1", "Answer 1"]
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1"]
    assert rows.run("SELECT turn_id FROM conversations") == [(None,)]


async def test_an_answered_message_stays_answered_after_later_messages(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    await turns.exchange(2)

    again = await turns.begin("Question 1")

    assert again.verdict == "answered"
    assert again.texts == ["Question 1", "Answer 1"]
    assert len(rows.current(turns.conversation_id)) == 4


@pytest.mark.parametrize("finish_reason", ["length", "content_filter", "aborted", "timeout"])
async def test_a_stopped_or_cut_answer_counts_as_an_answer(
    turns: Turns, finish_reason: str
) -> None:
    await turns.finish(await turns.begin(), finish_reason=finish_reason)

    assert (await turns.begin()).verdict == "answered"


@pytest.mark.parametrize("finish_reason", ["error", "interrupted"])
async def test_a_message_whose_answer_failed_is_answered_again_and_the_failed_answer_replaced(
    turns: Turns, rows: Rows, finish_reason: str
) -> None:
    await turns.finish(await turns.begin(), "Hel", finish_reason=finish_reason)

    again = await turns.begin()
    await turns.finish(again, "Hello!!", answer_message_id="answer-2")

    assert again.verdict == "taken"
    assert again.prompt == ["Hello!"]
    assert rows.current(turns.conversation_id) == ["Hello!", "Hello!!"]
    assert rows.superseded(turns.conversation_id) == ["Hel"]


async def test_a_message_whose_attempt_left_no_answer_is_answered_and_stored_once(
    turns: Turns, rows: Rows
) -> None:
    await turns.release(await turns.begin())

    again = await turns.begin()

    assert again.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_a_message_sent_twice_joins_the_attempt_that_answers_it(
    turns: Turns, rows: Rows
) -> None:
    first = await turns.begin()
    turns.wait(seconds=20)

    again = await turns.begin()

    assert again.verdict == "being_answered"
    assert again.lease_remaining_seconds == LEASE_SECONDS - 20
    assert again.question.id == first.question.id
    assert rows.run("SELECT turn_id FROM conversations") == [(first.turn_id,)]


async def test_a_second_message_waits_while_the_first_is_being_answered(
    turns: Turns, rows: Rows
) -> None:
    first = await turns.begin()
    turns.wait(seconds=20)

    other = await turns.begin("And you?", message_id="question-2")

    assert other.verdict == "turn_in_progress"
    assert other.lease_remaining_seconds == LEASE_SECONDS - 20
    assert rows.current(turns.conversation_id) == ["Hello!"]
    assert rows.run("SELECT turn_id FROM conversations") == [(first.turn_id,)]


async def test_an_unanswered_message_is_not_answered_after_later_messages(
    turns: Turns, rows: Rows
) -> None:
    await turns.release(await turns.begin())
    await turns.exchange(2)

    again = await turns.begin()

    assert again.verdict == "moved_on"
    assert rows.current(turns.conversation_id) == ["Hello!", "Question 2", "Answer 2"]


async def test_the_verdict_moved_on_comes_even_while_a_later_message_is_being_answered(
    turns: Turns,
) -> None:
    await turns.release(await turns.begin())
    await turns.begin("And you?", message_id="question-2")

    assert (await turns.begin()).verdict == "moved_on"


async def test_an_attempt_that_retries_begin_turn_gets_its_own_turn(
    turns: Turns, rows: Rows
) -> None:
    first = await turns.begin()

    again = await turns.begin(turn_id=first.turn_id)

    assert again.verdict == "taken"
    assert again.prompt == ["Hello!"]
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_the_same_message_is_answered_again_once_a_dead_attempt_is_released(
    turns: Turns, rows: Rows
) -> None:
    crashed = await turns.begin()

    turns.wait(seconds=LEASE_SECONDS - 1)
    assert (await turns.begin()).verdict == "being_answered"
    turns.wait(seconds=1)
    assert (await turns.begin()).verdict == "lapsed"
    await turns.release(crashed)
    again = await turns.begin()

    assert again.verdict == "taken"
    assert again.lease_remaining_seconds is None
    assert await turns.finish(crashed) == []
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_another_message_takes_the_turn_once_a_dead_attempt_is_released(
    turns: Turns, rows: Rows
) -> None:
    crashed = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)
    await turns.release(crashed)

    other = await turns.begin("And you?", message_id="question-2")

    assert other.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Hello!", "And you?"]


async def test_the_same_message_id_in_two_conversations_is_two_messages(turns: Turns) -> None:
    await turns.exchange(1)

    other = await turns.begin("Hello!", conversation_id=uuid4())

    assert other.verdict == "taken"


async def test_regenerating_an_unknown_message_sends_it(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)

    begun = await turns.begin("Hello?", message_id="question-2", regenerates=True)

    assert begun.verdict == "taken"
    assert begun.question.content == "Hello?"
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1", "Hello?"]


async def test_regenerating_in_an_unknown_conversation_creates_it(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin("Hello?", regenerates=True)

    assert begun.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Hello?"]
