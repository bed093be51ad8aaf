"""begin_turn: an attempt that died before it stored its answer makes the turn lapsed."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import LEASE_SECONDS, Begun, Turns

REQUESTS: dict[str, dict[str, Any]] = {
    "the same message": {},
    "an edited message": {"content": "Better put"},
    "another message": {"content": "And?", "message_id": "question-2"},
    "another answer": {"content": None, "message_id": None, "regenerates": True},
    "a request that may not answer": {"takes_turn": False},
}
STATE = "SELECT turn_id, turn_message_id, turn_expires_at, updated_at FROM conversations"


@pytest.fixture
async def left(turns: Turns, streams: Streams) -> Begun:
    """Leave stored parts behind, under a lease that has run out."""
    begun = await turns.begin()
    await streams.store(begun, "abc")
    turns.wait(seconds=LEASE_SECONDS)
    return begun


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
async def test_a_dead_attempt_with_stored_parts_makes_the_turn_lapsed_and_changes_nothing(
    turns: Turns, left: Begun, rows: Rows, request_: dict[str, Any]
) -> None:
    before = rows.run(STATE)

    begun = await turns.begin(**request_, messages_per_minute=10)

    assert (begun.verdict, begun.held_turn_id) == ("lapsed", left.turn_id)
    assert begun.quota is None
    assert rows.run(STATE) == before
    assert rows.current(turns.conversation_id) == ["Hello!"]
    assert rows.run("SELECT parts FROM stream_batches") == [("abc",)]


@pytest.mark.parametrize("message_id", ["question-1", "question-2"])
async def test_the_turn_is_taken_once_the_unfinished_answer_is_stored(
    turns: Turns, left: Begun, message_id: str
) -> None:
    await turns.finish(left, "Hello, how", finish_reason="interrupted")

    begun = await turns.begin(message_id=message_id)

    assert (begun.verdict, begun.held_turn_id) == ("taken", None)


async def test_the_turn_of_a_dead_attempt_without_parts_is_taken_once_it_is_released(
    turns: Turns,
) -> None:
    left = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)

    again = await turns.begin()
    await turns.release(left)

    assert (again.verdict, again.held_turn_id) == ("lapsed", left.turn_id)
    assert (await turns.begin()).verdict == "taken"


async def test_an_attempt_whose_lease_runs_is_still_answering(
    turns: Turns, streams: Streams
) -> None:
    running = await turns.begin()
    await streams.store(running, "abc")
    turns.wait(seconds=LEASE_SECONDS - 1)

    again = await turns.begin()
    other = await turns.begin("And?", message_id="question-2")

    assert (again.verdict, again.held_turn_id) == ("being_answered", running.turn_id)
    assert (other.verdict, other.held_turn_id) == ("turn_in_progress", running.turn_id)


async def test_an_attempt_that_retries_begin_turn_still_holds_its_turn(
    turns: Turns, left: Begun
) -> None:
    again = await turns.begin(turn_id=left.turn_id)

    assert (again.verdict, again.held_turn_id) == ("taken", left.turn_id)


async def test_a_new_conversation_has_no_held_turn(turns: Turns) -> None:
    assert (await turns.begin()).held_turn_id is None


async def test_a_lapsed_turn_does_not_block_another_conversation(turns: Turns, left: Begun) -> None:
    assert left.conversation_id == turns.conversation_id

    assert (await turns.begin(conversation_id=uuid4())).verdict == "taken"
