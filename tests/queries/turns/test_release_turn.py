"""release_turn."""

from dataclasses import replace
from uuid import uuid4

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Parts, Streams
from tests.support.steps.turns import LEASE_SECONDS, Turns


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
    turns.wait(seconds=LEASE_SECONDS)
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
    turns.wait(seconds=LEASE_SECONDS)
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
