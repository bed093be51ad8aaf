"""finish_turn: the stored stream of the answer."""

from uuid import uuid4

import psycopg
import pytest

from lib.turns.finish import PARTS_LOST
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import Turns

BATCHES = "SELECT turn_id, parts FROM stream_batches"
FINISHED = "SELECT parts FROM finished_streams"


async def test_finish_turn_joins_the_batches_and_the_unstored_parts_into_one_stream(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
    await streams.store(begun, "ab")
    await streams.store(begun, "cdefghij", 2)
    # Stored again, it lies behind the other in the table.
    await streams.store(begun, "ab")
    turns.wait(seconds=3)

    await turns.finish(begun, stored_parts=10, parts="kl", title_parts="-", last_parts="m")

    columns = "conversation_id, turn_id, user_id, answer_message_id, parts, ended_at"
    assert rows.run(f"SELECT {columns} FROM finished_streams") == [
        (turns.conversation_id, begun.turn_id, "ada", "answer-1", "abcdefghijklm", turns.now)
    ]
    assert rows.run(BATCHES) == []


async def test_a_batch_that_was_stored_unnoticed_is_not_in_the_stream_twice(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    # The attempt does not learn that this one arrived.
    await streams.store(begun, "de", 3)

    await turns.finish(begun, stored_parts=3, parts="defg")

    assert rows.run(FINISHED) == [("abcdefg",)]


@pytest.mark.parametrize("lost", ["= 0", "= 2", "= 5", ">= 2", ">= 0"])
async def test_finish_turn_stores_nothing_while_parts_that_it_takes_over_are_missing(
    turns: Turns, streams: Streams, rows: Rows, lost: str
) -> None:
    begun = await turns.begin()
    for parts, first_part in (("ab", 0), ("cde", 2), ("f", 5)):
        await streams.store(begun, parts, first_part)
    rows.run(f"DELETE FROM stream_batches WHERE first_part {lost}")

    with pytest.raises(psycopg.Error) as raised:
        await turns.finish(begun, stored_parts=6, parts="g")

    assert raised.value.sqlstate == PARTS_LOST
    assert rows.run(FINISHED) == []
    assert rows.current(begun.conversation_id) == ["Hello!"]
    assert rows.run("SELECT turn_id FROM conversations") == [(begun.turn_id,)]
    # With all parts the answer is stored, and its stream has none twice.
    assert await turns.finish(begun, parts="abcdefg")
    assert rows.run(FINISHED) == [("abcdefg",)]
    assert rows.run(BATCHES) == []


async def test_an_attempt_that_lost_the_turn_and_its_parts_learns_of_the_turn_alone(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    await turns.release(begun)

    assert await turns.finish(begun, stored_parts=3, parts="d") == []
    assert rows.run(FINISHED) == []


async def test_without_batches_the_unstored_parts_are_the_stream(turns: Turns, rows: Rows) -> None:
    await turns.finish(await turns.begin(), parts="abc", last_parts="d")

    assert rows.run(FINISHED) == [("abcd",)]


@pytest.mark.parametrize(("own_title", "stream"), [(None, "a+title+b"), ("My own", "ab")])
async def test_the_stream_carries_a_new_title_only_if_the_conversation_takes_it(
    turns: Turns, rows: Rows, own_title: str | None, stream: str
) -> None:
    begun = await turns.begin()
    if own_title:
        rows.run("UPDATE conversations SET title = %s", own_title)

    title = {"title": "Greetings", "title_parts": "+title+"}
    await turns.finish(begun, parts="a", last_parts="b", **title)

    assert rows.run(FINISHED) == [(stream,)]


async def test_finish_turn_sent_twice_leaves_the_stream_unchanged(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")

    first = await turns.finish(begun, stored_parts=3, parts="d")

    assert await turns.finish(begun, stored_parts=3, parts="d") == first
    assert rows.run(FINISHED) == [("abcd",)]


@pytest.mark.parametrize(("seconds", "remaining"), [(60, ["abc", "de"]), (61, ["de"])])
async def test_the_next_answer_removes_a_stream_that_is_a_minute_old(
    turns: Turns, rows: Rows, seconds: float, remaining: list[str]
) -> None:
    other = await turns.begin(conversation_id=uuid4())
    await turns.finish(other, parts="other")
    await turns.finish(await turns.begin(), parts="abc")
    turns.wait(seconds=seconds)
    second = await turns.begin("And?", message_id="question-2")

    await turns.finish(second, answer_message_id="answer-2", parts="de")

    ordered = f"{FINISHED} WHERE conversation_id = %s ORDER BY ended_at"
    assert [parts for (parts,) in rows.run(ordered, turns.conversation_id)] == remaining
    assert rows.run(f"{FINISHED} WHERE conversation_id = %s", other.conversation_id) == [("other",)]


async def test_an_attempt_that_lost_the_turn_changes_no_stream(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    late = await turns.begin()
    await turns.release(late)
    again = await turns.begin()
    await streams.store(again, "abc")

    assert await turns.finish(late, parts="too late") == []

    assert rows.run(BATCHES) == [(again.turn_id, "abc")]
    assert rows.run(FINISHED) == []


async def test_the_batches_of_other_conversations_stay(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    other = await turns.begin(user_id="ada", conversation_id=uuid4())
    await streams.store(other, "xyz")

    await turns.finish(await turns.begin(user_id="ada"))

    assert rows.run(BATCHES) == [(other.turn_id, "xyz")]
