"""read_stream."""

from uuid import uuid4

import pytest

from lib.answers.follow import StoredParts, StreamState
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import LEASE_SECONDS, Begun, Turns


def batch(begun: Begun, first_part: int, parts: str, state: StreamState = "running") -> StoredParts:
    """Return the row of a batch."""
    return StoredParts(begun.turn_id, state, first_part, parts)


def nothing_new(begun: Begun, state: StreamState = "running") -> StoredParts:
    """Return the row of an answer without new parts."""
    return StoredParts(begun.turn_id, state, None, None)


async def test_a_running_answer_is_read_from_its_first_part_on(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "ab")
    await streams.store(begun, "de", 2)
    # Stored again, it lies behind the other in the table.
    await streams.store(begun, "ab")

    assert await streams.read() == [batch(begun, 0, "ab"), batch(begun, 2, "de")]


@pytest.mark.parametrize(
    ("first_part", "batches"), [(2, [0, 3]), (3, [3]), (4, [3]), (5, [None]), (100, [None])]
)
async def test_reading_from_the_middle_of_a_batch_returns_the_complete_batch(
    turns: Turns, streams: Streams, first_part: int, batches: list[int | None]
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    await streams.store(begun, "de", 3)

    batches_read = await streams.read(turn_id=begun.turn_id, first_part=first_part)

    assert [row.first_part for row in batches_read] == batches


async def test_a_running_answer_without_parts_is_found(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()

    assert await streams.read() == [nothing_new(begun)]


async def test_an_answer_whose_lease_has_run_out_has_the_state_lapsed(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.read() == [batch(begun, 0, "abc", "lapsed")]
    assert await streams.read(turn_id=begun.turn_id, first_part=3) == [nothing_new(begun, "lapsed")]


@pytest.mark.parametrize(("seconds", "is_there"), [(0, True), (59, True), (60, False)])
async def test_an_answer_is_replayed_for_a_minute_after_its_end(
    turns: Turns, streams: Streams, seconds: float, *, is_there: bool
) -> None:
    begun = await turns.begin()
    await turns.finish(begun, parts="abc", last_parts="d")
    turns.wait(seconds=seconds)

    batches_read = await streams.read()

    assert batches_read == ([batch(begun, 0, "abcd", "ended")] if is_there else [])


async def test_a_follower_reads_the_end_of_its_answer_at_any_time(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await turns.finish(begun, parts="abc")
    turns.wait(days=1)

    assert await streams.read(turn_id=begun.turn_id) == [batch(begun, 0, "abc", "ended")]


@pytest.mark.parametrize(
    ("finish_reason", "is_replayed"),
    [("stop", True), ("length", True), ("interrupted", True), ("error", True), ("aborted", False)],
)
async def test_a_stopped_answer_is_not_replayed_except_to_its_followers(
    turns: Turns, streams: Streams, finish_reason: str, *, is_replayed: bool
) -> None:
    begun = await turns.begin()
    await turns.finish(begun, parts="abc", finish_reason=finish_reason)

    assert bool(await streams.read()) is is_replayed
    assert await streams.read(turn_id=begun.turn_id) == [batch(begun, 0, "abc", "ended")]


async def test_a_replaced_answer_is_not_replayed(turns: Turns, streams: Streams) -> None:
    first = await turns.begin()
    await turns.finish(first, parts="abc")
    edited = await turns.begin("Better put")
    await turns.release(edited)

    assert await streams.read() == []
    assert await streams.read(turn_id=first.turn_id) == [batch(first, 0, "abc", "ended")]


async def test_a_deleted_answer_is_not_replayed(turns: Turns, streams: Streams, rows: Rows) -> None:
    await turns.finish(await turns.begin(), parts="abc")
    rows.run("DELETE FROM chat_messages")

    assert await streams.read() == []


async def test_a_running_answer_wins_over_the_last_one_which_its_followers_still_read(
    turns: Turns, streams: Streams
) -> None:
    first = await turns.begin()
    await turns.finish(first, parts="abc")
    second = await turns.begin("And?", message_id="question-2")

    assert await streams.read() == [nothing_new(second)]
    assert await streams.read(turn_id=first.turn_id) == [batch(first, 0, "abc", "ended")]


async def test_the_last_answer_is_replayed_and_earlier_ones_only_to_their_followers(
    turns: Turns, streams: Streams
) -> None:
    first = await turns.begin()
    await turns.finish(first, parts="abc")
    turns.wait(seconds=1)
    second = await turns.begin("And?", message_id="question-2")
    await turns.finish(second, answer_message_id="answer-2", parts="de")

    assert await streams.read() == [batch(second, 0, "de", "ended")]
    assert await streams.read(turn_id=first.turn_id) == [batch(first, 0, "abc", "ended")]


async def test_after_a_stopped_answer_the_one_before_it_is_not_replayed(
    turns: Turns, streams: Streams
) -> None:
    await turns.finish(await turns.begin(), parts="abc")
    turns.wait(seconds=1)
    second = await turns.begin("And?", message_id="question-2")
    await turns.finish(second, answer_message_id="answer-2", finish_reason="aborted")

    assert await streams.read() == []


async def test_a_released_turn_has_no_stream(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    await turns.release(begun)

    assert await streams.read() == []
    assert await streams.read(turn_id=begun.turn_id) == []


async def test_followers_of_a_stopped_and_released_turn_read_the_state_stopped(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.stop()
    assert await streams.read(turn_id=begun.turn_id) == [nothing_new(begun)]
    await turns.release(begun)

    assert await streams.read() == []
    assert await streams.read(turn_id=begun.turn_id) == [nothing_new(begun, "stopped")]
    assert await streams.read(turn_id=uuid4()) == []
    assert await streams.read(turn_id=begun.turn_id, user_id="eve") == []


@pytest.mark.parametrize("owner", ["ada", None])
@pytest.mark.parametrize("is_finished", [False, True])
async def test_another_callers_stream_is_not_read(
    turns: Turns, streams: Streams, owner: str | None, *, is_finished: bool
) -> None:
    begun = await turns.begin(user_id=owner)
    if is_finished:
        await turns.finish(begun, parts="abc")
    else:
        await streams.store(begun, "abc")

    assert await streams.read(user_id=owner)
    for other in {"eve", None} - {owner}:
        assert await streams.read(user_id=other) == []
        assert await streams.read(user_id=other, turn_id=begun.turn_id) == []


async def test_an_unknown_conversation_has_no_stream(streams: Streams) -> None:
    assert await streams.read() == []
    assert await streams.read(turn_id=uuid4()) == []


async def test_a_dead_attempt_at_a_question_that_has_expired_has_no_parts(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "data: {}\n\n")
    turns.wait(days=31)

    assert await streams.read(retention_days=30) == []
    assert await streams.read(turn_id=begun.turn_id, retention_days=30) == []
    [left] = await streams.read(retention_days=0)
    assert (left.state, left.parts) == ("lapsed", "data: {}\n\n")
