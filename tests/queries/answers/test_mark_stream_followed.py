"""mark_stream_followed: the process that makes an answer learns that another one follows it."""

from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Parts, Streams
from tests.support.steps.turns import Turns

MARKS = "SELECT followed_at FROM stream_batches ORDER BY first_part"


@pytest.mark.parametrize("user_id", ["ada", None])
@pytest.mark.parametrize(("seconds", "is_followed"), [(0, True), (4, True), (5, False)])
async def test_an_answer_counts_as_followed_for_5_seconds_after_the_last_mark(
    turns: Turns, streams: Streams, user_id: str | None, seconds: float, *, is_followed: bool
) -> None:
    begun = await turns.begin(user_id=user_id)
    assert not (await streams.store(begun, "a")).is_followed

    await streams.mark_followed(begun, user_id)
    turns.wait(seconds=seconds)

    assert (await streams.store(begun, "b", 1)).is_followed is is_followed
    assert (await streams.store(begun, "c", 2)).is_followed is is_followed


async def test_an_answer_without_new_parts_learns_that_it_is_followed(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "a")
    await streams.mark_followed(begun)

    assert (await streams.store(begun, "", 1)).is_followed


async def test_a_later_mark_keeps_an_answer_followed(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()
    await streams.store(begun, "a")
    await streams.mark_followed(begun)
    turns.wait(seconds=3)
    await streams.store(begun, "b", 1)

    await streams.mark_followed(begun)
    turns.wait(seconds=4)

    assert (await streams.store(begun, "c", 2)).is_followed


async def test_a_batch_sent_again_keeps_its_mark(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()
    await streams.store(begun, "a")
    await streams.mark_followed(begun)

    assert (await streams.store(begun, "ab")).is_followed


@pytest.mark.parametrize(("owner", "other"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_answer_gets_no_mark(
    turns: Turns, streams: Streams, rows: Rows, owner: str | None, other: str | None
) -> None:
    begun = await turns.begin(user_id=owner)
    await streams.store(begun, "a")

    await streams.mark_followed(begun, other)

    assert rows.run(MARKS) == [(None,)]


async def test_a_mark_is_of_one_attempt_and_one_conversation(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    other = await turns.begin(conversation_id=uuid4())
    await streams.store_all(Parts(begun, "a"), Parts(other, "a"))

    await streams.mark_followed(begun)

    outcomes = await streams.store_all(Parts(begun, "b", 1), Parts(other, "b", 1))
    assert outcomes[begun.turn_id].is_followed
    assert not outcomes[other.turn_id].is_followed
    assert rows.run("SELECT count(*) FROM stream_batches WHERE followed_at IS NULL") == [(2,)]


async def test_a_mark_does_not_wait_for_an_answer_that_is_being_stored(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    finish = turns.finish_call(begun, "Hello", parts="abc")

    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        await streams.mark_followed(begun)

        assert rows.run(MARKS) == [(None,)]


async def test_an_answer_without_parts_gets_no_mark(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()

    await streams.mark_followed(begun)

    assert not (await streams.store(begun, "a")).is_followed
