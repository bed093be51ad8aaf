"""stop_turn."""

import asyncio

import pytest

from lib.turns.stop import StoppedTurn
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import LEASE_SECONDS, Turns

STATE = "SELECT turn_id, turn_message_id, turn_expires_at, updated_at FROM conversations"


async def test_stop_turn_asks_the_attempt_to_stop_and_leaves_it_the_turn(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    before = rows.run(STATE)
    turns.wait(seconds=1)

    assert await streams.stop() == [StoppedTurn(begun.turn_id)]

    assert (await streams.store(begun, "a")).is_stopped
    assert rows.run(STATE) == before
    assert await turns.finish(begun, finish_reason="aborted")


async def test_stop_turn_sent_twice_stops_the_attempt_once(turns: Turns, streams: Streams) -> None:
    await turns.begin()

    assert await streams.stop() == await streams.stop()


async def test_stop_turn_reaches_an_attempt_whose_lease_has_run_out(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)

    assert await streams.stop() == [StoppedTurn(begun.turn_id)]


@pytest.mark.parametrize("is_finished", [False, True])
async def test_stop_turn_finds_no_attempt_in_an_idle_conversation(
    turns: Turns, streams: Streams, *, is_finished: bool
) -> None:
    assert await streams.stop() == []
    begun = await turns.begin()
    if is_finished:
        await turns.finish(begun)
    else:
        await turns.release(begun)

    assert await streams.stop() == []


@pytest.mark.parametrize("owner", ["ada", None])
async def test_another_callers_answer_is_not_stopped(
    turns: Turns, streams: Streams, owner: str | None
) -> None:
    begun = await turns.begin(user_id=owner)

    for other in {"eve", None} - {owner}:
        assert await streams.stop(other) == []
    assert not (await streams.store(begun, "a")).is_stopped


async def test_an_answer_that_is_being_stored_is_not_stopped(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    finish = turns.finish_call(await turns.begin(), "Hello")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        stopping = asyncio.create_task(streams.stop())
        await rows.until_waiting(1)

    assert await stopping == []
    assert rows.run("SELECT stopped_turn_id FROM conversations") == [(None,)]
