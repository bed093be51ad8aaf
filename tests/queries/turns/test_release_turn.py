"""release_turn."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Parts, Streams
from tests.support.steps.turns import Turns

REFUSALS = "SELECT refusal FROM chat_messages WHERE role = 'user' ORDER BY id"


async def test_a_released_turn_is_free_for_the_next_message_and_nothing_else_changes(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()

    assert await turns.release(begun)

    turn = "turn_id, turn_message_id, turn_expires_at, updated_at"
    assert rows.run(f"SELECT {turn} FROM conversations") == [(None, None, None, turns.now)]
    assert rows.current(turns.conversation_id) == ["Hello!"]
    assert (await turns.begin("And you?", message_id="question-2")).verdict == "taken"


async def test_a_turn_that_another_attempt_has_taken_over_is_not_released(
    turns: Turns, rows: Rows
) -> None:
    late = await turns.begin()
    await turns.release(late)
    again = await turns.begin()

    assert not await turns.release(late)
    assert rows.run("SELECT turn_id FROM conversations") == [(again.turn_id,)]


async def test_another_callers_turn_is_not_released(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")

    for intruder in ("eve", None):
        assert not await turns.release(replace(begun, user_id=intruder))
    assert rows.run("SELECT turn_id FROM conversations") == [(begun.turn_id,)]


async def test_release_turn_removes_the_attempts_batches_and_no_others(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
    other = await turns.begin(user_id="ada", conversation_id=uuid4())
    await streams.store_all(Parts(begun, "abc"), Parts(other, "xyz"))

    assert await turns.release(begun)

    assert rows.run("SELECT turn_id FROM stream_batches") == [(other.turn_id,)]


async def test_an_attempt_that_lost_the_turn_removes_no_batches_of_its_successor(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    late = await turns.begin()
    await turns.release(late)
    again = await turns.begin()
    await streams.store(again, "abc")

    assert not await turns.release(late)

    assert rows.run("SELECT turn_id FROM stream_batches") == [(again.turn_id,)]


async def test_release_turn_keeps_the_stream_of_the_previous_answer(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("And?", message_id="question-2")
    await streams.store(begun, "abc")

    await turns.release(begun)

    streamed = "SELECT answer_message_id FROM finished_streams"
    assert rows.run(streamed) == [("answer-1",)]


async def test_release_turn_marks_a_question_that_the_provider_refused(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("Bad", message_id="question-2")

    await turns.release(begun, "answer_withheld")

    assert rows.run(REFUSALS) == [(None,), ("answer_withheld",)]


async def test_a_release_for_another_reason_leaves_the_mark_of_an_earlier_refusal(
    turns: Turns, rows: Rows
) -> None:
    await turns.release(await turns.begin(), "answer_withheld")

    await turns.release(await turns.begin())

    assert rows.run(REFUSALS) == [("answer_withheld",)]


async def test_an_answered_question_is_not_marked_when_its_next_answer_is_refused(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    again = await turns.begin(None, message_id=None, regenerates=True)
    assert again.verdict == "taken"

    await turns.release(again, "answer_withheld")

    assert rows.run(REFUSALS) == [(None,)]


@pytest.mark.parametrize("finish_reason", ["error", "interrupted"])
async def test_a_question_with_a_broken_answer_is_marked_when_the_next_try_is_refused(
    turns: Turns, rows: Rows, finish_reason: str
) -> None:
    await turns.finish(await turns.begin(), finish_reason=finish_reason)

    await turns.release(await turns.begin(), "answer_withheld")

    assert rows.run(REFUSALS) == [("answer_withheld",)]


async def test_an_attempt_that_lost_the_turn_marks_no_question(turns: Turns, rows: Rows) -> None:
    late = await turns.begin()
    await turns.release(late)
    await turns.begin()

    assert not await turns.release(late, "answer_withheld")

    assert rows.run(REFUSALS) == [(None,)]


async def test_an_answer_takes_the_mark_of_a_refusal_from_its_question(
    turns: Turns, rows: Rows
) -> None:
    await turns.release(await turns.begin(), "answer_withheld")

    await turns.finish(await turns.begin())

    assert rows.run(REFUSALS) == [(None,)]


async def test_a_broken_answer_marks_its_question_when_the_provider_refused_to_go_on(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()

    await turns.finish(begun, finish_reason="error", refusal="answer_withheld")

    assert rows.run(REFUSALS) == [("answer_withheld",)]


@pytest.mark.parametrize(
    ("finish_reason", "content"),
    [("error", ""), ("error", "Hel"), ("interrupted", "Hel"), ("aborted", "")],
)
async def test_an_answer_that_tells_nothing_of_the_refusal_leaves_its_mark(
    turns: Turns, rows: Rows, finish_reason: str, content: str
) -> None:
    await turns.release(await turns.begin(), "answer_withheld")

    await turns.finish(await turns.begin(), content, finish_reason=finish_reason)

    assert rows.run(REFUSALS) == [("answer_withheld",)]


@pytest.mark.parametrize(
    ("finish_reason", "content"), [("aborted", "Hel"), ("timeout", ""), ("tool_calls", "")]
)
async def test_an_answer_that_was_cut_takes_the_mark_of_a_refusal_too(
    turns: Turns, rows: Rows, finish_reason: str, content: str
) -> None:
    await turns.release(await turns.begin(), "answer_withheld")

    await turns.finish(await turns.begin(), content, finish_reason=finish_reason)

    assert rows.run(REFUSALS) == [(None,)]
