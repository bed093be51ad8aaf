"""list_lapsed_turns."""

from uuid import uuid4

from lib.turns.recover import LapsedTurn
from tests.support.steps.streams import Streams
from tests.support.steps.turns import LEASE_SECONDS, Begun, Turns


def lapsed(begun: Begun) -> LapsedTurn:
    """Return the row of an attempt."""
    return LapsedTurn(begun.conversation_id, begun.user_id, begun.turn_id)


async def test_lapsed_turns_of_all_callers_are_listed_the_oldest_first(
    turns: Turns, streams: Streams
) -> None:
    begun: list[Begun] = []
    for user_id in ("eve", None, "ada"):
        begun.append(await turns.begin(user_id=user_id, conversation_id=uuid4()))
        turns.wait(seconds=1)
    for turn in begun:
        await streams.store(turn, "abc")
        await streams.store(turn, "de", 3)
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.list_lapsed() == [lapsed(turn) for turn in begun]
    assert await streams.list_lapsed(batch_size=2) == [lapsed(turn) for turn in begun[:2]]


async def test_a_turn_whose_lease_runs_is_not_listed(turns: Turns, streams: Streams) -> None:
    await streams.store(await turns.begin(), "abc")
    turns.wait(seconds=LEASE_SECONDS - 1)

    assert await streams.list_lapsed() == []


async def test_a_lapsed_turn_without_parts_is_left_to_the_next_message(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.list_lapsed() == []
    assert (await turns.begin("And now?", message_id="question-2")).held_turn_id == begun.turn_id


async def test_recovered_and_released_turns_are_not_listed(turns: Turns, streams: Streams) -> None:
    recovered, released = [await turns.begin(conversation_id=uuid4()) for _ in range(2)]
    await streams.store(recovered, "abc")
    await streams.store(released, "abc")
    turns.wait(seconds=LEASE_SECONDS)

    await turns.finish(recovered, finish_reason="interrupted")
    await turns.release(released)

    assert await streams.list_lapsed() == []
