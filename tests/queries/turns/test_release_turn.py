"""release_turn."""

from dataclasses import replace
from uuid import uuid4

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Said, Streams
from tests.support.steps.turns import LEASE_SECONDS, Turns


async def test_the_turn_is_free_for_the_next_message_and_nothing_else_changes(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()

    assert await turns.release(begun)

    turn = "turn_id, turn_message_id, turn_expires_at, updated_at"
    assert rows.run(f"SELECT {turn} FROM conversations") == [(None, None, None, turns.now)]
    assert rows.said(turns.conversation_id) == ["Hello!"]
    assert (await turns.begin("And you?", message_id="question-2")).verdict == "taken"


async def test_a_turn_that_another_attempt_has_taken_over_is_not_given_back(
    turns: Turns, rows: Rows
) -> None:
    late = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)
    again = await turns.begin()

    assert not await turns.release(late)
    assert rows.run("SELECT turn_id FROM conversations") == [(again.turn_id,)]


async def test_nobody_gives_back_the_turn_of_somebody_else(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada")

    for intruder in ("eve", None):
        assert not await turns.release(replace(begun, user_id=intruder))
    assert rows.run("SELECT turn_id FROM conversations") == [(begun.turn_id,)]


async def test_what_it_has_said_is_removed_and_what_others_say_is_not(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
    other = await turns.begin(user_id="ada", conversation_id=uuid4())
    await streams.store_all(Said(begun, "abc"), Said(other, "xyz"))

    assert await turns.release(begun)

    assert rows.run("SELECT turn_id FROM stream_batches") == [(other.turn_id,)]


async def test_who_has_lost_the_turn_removes_nothing_of_who_has_it(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    late = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)
    again = await turns.begin()
    await streams.store(again, "abc")

    assert not await turns.release(late)

    assert rows.run("SELECT turn_id FROM stream_batches") == [(again.turn_id,)]


async def test_the_stream_of_the_answer_before_stays(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    await turns.exchange(1)
    begun = await turns.begin("And?", message_id="question-2")
    await streams.store(begun, "abc")

    await turns.release(begun)

    streamed = "SELECT answer_message_id FROM finished_streams"
    assert rows.run(streamed) == [("answer-1",)]
