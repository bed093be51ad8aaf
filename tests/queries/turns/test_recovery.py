"""find_left_turn and finish_turn together: an unfinished answer is stored exactly once."""

import asyncio

import pytest

from lib.answers._batches import STORE_STREAM_BATCHES
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.streams import parts as ui_stream
from lib.turns.recover import recover_lapsed_turns, recover_turn
from tests.support.steps.rows import Rows
from tests.support.steps.turns import LEASE_SECONDS, NOON, Begun, Turns

NOBODY = Caller(None)
TEXT = (
    ui_stream.START_STEP
    + ui_stream.text_start(0)
    + b"".join(ui_stream.text_delta(0, word) for word in ("Hello, ", "how "))
)
STARTED = ui_stream.start("answer-1", "") + ui_stream.START_STEP + TEXT
MANY = 20
ANSWERS = "SELECT message_id, content, finish_reason FROM chat_messages WHERE role = 'assistant'"
STREAMS = "SELECT turn_id, parts FROM finished_streams"


@pytest.fixture
async def left(turns: Turns, pool: Database) -> Begun:
    """Leave an unfinished answer behind, under a lease that has run out."""
    begun = await turns.begin()
    await say(pool, begun, STARTED)
    turns.wait(seconds=LEASE_SECONDS)
    return begun


async def test_many_recoveries_at_once_store_one_answer(
    left: Begun, pool: Database, rows: Rows
) -> None:
    recoveries = [recover(pool, left) for _ in range(MANY)]
    crons = [recover_lapsed_turns(pool, float("inf")) for _ in range(MANY)]

    await asyncio.gather(*recoveries, *crons)

    assert rows.run(ANSWERS) == [("answer-1", "Hello, how ", "interrupted")]
    [(turn_id, parts)] = rows.run(STREAMS)
    assert turn_id == left.turn_id
    assert str(parts).startswith(STARTED.decode())
    assert str(parts).endswith(ui_stream.DONE.decode())
    assert rows.run("SELECT turn_id FROM conversations") == [(None,)]
    assert rows.run("SELECT count(*) FROM stream_batches") == [(0,)]


async def test_many_recoveries_of_an_answer_without_an_id_store_one(
    turns: Turns, pool: Database, rows: Rows
) -> None:
    # Each recovery would give the answer an id of its own.
    begun = await turns.begin()
    await say(pool, begun, TEXT)

    await asyncio.gather(*[recover(pool, begun) for _ in range(MANY)])

    assert [content for _, content, _ in rows.run(ANSWERS)] == ["Hello, how "]


async def test_an_attempt_that_finishes_late_does_not_mistake_the_recovered_answer_for_its_own(
    turns: Turns, left: Begun, pool: Database, rows: Rows
) -> None:
    await recover(pool, left)

    assert await turns.finish(left, "Hello, how are you?") == []

    assert rows.run(ANSWERS) == [("answer-1", "Hello, how ", "interrupted")]


async def test_an_answer_that_its_attempt_stores_late_is_not_recovered(
    turns: Turns, left: Begun, pool: Database, rows: Rows
) -> None:
    finish = turns.finish_call(left, "Hello, how are you?")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        recovering = asyncio.create_task(recover(pool, left))
        await rows.until_waiting(1)
    await recovering

    assert rows.run(ANSWERS) == [("answer-1", "Hello, how are you?", "stop")]


async def test_recovery_does_not_disturb_an_attempt_that_has_taken_over(
    turns: Turns, left: Begun, pool: Database, rows: Rows
) -> None:
    await recover(pool, left)
    again = await turns.begin()
    assert again.verdict == "taken"

    await recover(pool, left)

    assert rows.run("SELECT turn_id FROM conversations") == [(again.turn_id,)]


async def test_a_lapsed_turn_without_parts_is_released(
    turns: Turns, pool: Database, rows: Rows
) -> None:
    begun = await turns.begin()
    await say(pool, begun, ui_stream.start("answer-1", "") + ui_stream.START_STEP)

    await recover(pool, begun)

    assert rows.run(ANSWERS) == []
    assert rows.run("SELECT turn_id FROM conversations") == [(None,)]
    assert rows.run("SELECT count(*) FROM stream_batches") == [(0,)]


async def recover(pool: Database, left: Begun) -> None:
    """Store the unfinished answer."""
    await recover_turn(pool, NOBODY, left.conversation_id, left.turn_id)


async def say(pool: Database, begun: Begun, parts: bytes) -> None:
    """Store real parts of an answer."""
    await pool.run(
        STORE_STREAM_BATCHES(
            conversation_ids=[begun.conversation_id],
            user_ids=[begun.user_id],
            turn_ids=[begun.turn_id],
            lease_seconds=[LEASE_SECONDS],
            first_parts=[0],
            part_counts=[len(ui_stream.split(parts))],
            parts=[parts.decode()],
            now=NOON,
        )
    )
