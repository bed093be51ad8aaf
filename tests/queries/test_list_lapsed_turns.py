"""list_lapsed_turns."""

from uuid import uuid4

from lib.recovery import LapsedTurn
from tests.queries.streams import Streams
from tests.queries.turns import LEASE_SECONDS, Begun, Turns


def lapsed(begun: Begun) -> LapsedTurn:
    """Return the row that tells of an attempt."""
    return LapsedTurn(begun.conversation_id, begun.user_id, begun.turn_id)


async def test_what_was_left_behind_is_listed_whosever_it_is_the_oldest_first(
    turns: Turns, streams: Streams
) -> None:
    begun = [
        await turns.begin(user_id=who, conversation_id=uuid4()) for who in ("eve", None, "ada")
    ]
    for each in begun:
        await streams.store(each, "abc")
        await streams.store(each, "de", 3)
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.list_lapsed() == [lapsed(each) for each in begun]
    assert await streams.list_lapsed(batch_size=2) == [lapsed(each) for each in begun[:2]]


async def test_as_long_as_the_lease_lasts_nothing_is_left_behind(
    turns: Turns, streams: Streams
) -> None:
    await streams.store(await turns.begin(), "abc")
    turns.wait(seconds=LEASE_SECONDS - 1)

    assert await streams.list_lapsed() == []


async def test_where_nothing_was_said_there_is_nothing_to_recover(
    turns: Turns, streams: Streams
) -> None:
    await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.list_lapsed() == []


async def test_what_was_recovered_or_given_back_is_not_listed_again(
    turns: Turns, streams: Streams
) -> None:
    recovered, released = [await turns.begin(conversation_id=uuid4()) for _ in range(2)]
    await streams.store(recovered, "abc")
    await streams.store(released, "abc")
    turns.wait(seconds=LEASE_SECONDS)

    await turns.finish(recovered, finish_reason="interrupted")
    await turns.release(released)

    assert await streams.list_lapsed() == []
