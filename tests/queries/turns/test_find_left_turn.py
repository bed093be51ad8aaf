"""find_left_turn."""

from uuid import uuid4

import pytest

from lib.turns.recover import LeftTurn
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import Turns


async def test_find_left_turn_returns_the_question_and_all_parts_in_order(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin("Hello!")
    # Stored again, the first lies behind the others in the table.
    for parts, first_part in (("ab", 0), ("cdefghij", 2), ("kl", 10), ("ab", 0)):
        await streams.store(begun, parts, first_part)

    left_turns = await streams.find_left(begun)

    assert left_turns == [LeftTurn(begun.question.id, "Hello!", "abcdefghijkl")]


@pytest.mark.parametrize(
    ("lost", "left"), [("= 10", "abcdefghij"), ("= 2", "ab"), (">= 2", "ab"), ("= 0", "")]
)
async def test_find_left_turn_returns_the_parts_up_to_the_first_missing_one(
    turns: Turns, streams: Streams, rows: Rows, lost: str, left: str
) -> None:
    begun = await turns.begin("Hello!")
    for parts, first_part in (("ab", 0), ("cdefghij", 2), ("kl", 10)):
        await streams.store(begun, parts, first_part)
    rows.run(f"DELETE FROM stream_batches WHERE first_part {lost}")

    assert await streams.find_left(begun) == [LeftTurn(begun.question.id, "Hello!", left)]


async def test_an_attempt_without_stored_parts_is_found_with_an_empty_text(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()

    assert await streams.find_left(begun) == [LeftTurn(begun.question.id, "Hello!", "")]


@pytest.mark.parametrize(
    "loss", ["DELETE FROM chat_messages", "UPDATE chat_messages SET superseded_at = now()"]
)
async def test_a_left_turn_whose_question_is_gone_has_no_question_id(
    turns: Turns, streams: Streams, rows: Rows, loss: str
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    rows.run(loss)

    assert await streams.find_left(begun) == [LeftTurn(None, None, "abc")]


async def test_an_expired_question_is_gone(turns: Turns, streams: Streams) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")

    turns.wait(days=30)
    assert (await streams.find_left(begun, retention_days=30))[0].question_id is not None
    turns.wait(seconds=1)
    assert await streams.find_left(begun, retention_days=30) == [LeftTurn(None, None, "abc")]


async def test_an_attempt_that_lost_the_turn_is_not_found(turns: Turns, streams: Streams) -> None:
    late = await turns.begin()
    await turns.release(late)
    again = await turns.begin()
    await streams.store(again, "abc")

    assert await streams.find_left(late) == []
    await turns.finish(again)
    assert await streams.find_left(again) == []


@pytest.mark.parametrize("owner", ["ada", None])
async def test_another_callers_left_turn_is_not_found(
    turns: Turns, streams: Streams, owner: str | None
) -> None:
    begun = await turns.begin(user_id=owner)
    await streams.store(begun, "abc")

    for other in {"eve", None} - {owner}:
        assert await streams.find_left(begun, other) == []
    assert await streams.find_left(begun, owner)


async def test_parts_of_another_conversation_are_not_returned(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    await streams.store(await turns.begin(conversation_id=uuid4()), "xyz")

    assert [left.parts for left in await streams.find_left(begun)] == ["abc"]
