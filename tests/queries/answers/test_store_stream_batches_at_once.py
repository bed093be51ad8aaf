"""store_stream_batches: at the same moment as the end of a turn; no batch is left behind."""

import asyncio
from uuid import uuid4

from lib.conversations.changes import DELETE_CONVERSATION
from lib.conversations.conversation import ConversationId
from lib.database.statements import Call
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Parts, Streams
from tests.support.steps.turns import Begun, Turns, act_as

COUNT = "SELECT count(*) FROM stream_batches"
FINISHED = "SELECT parts FROM finished_streams"
MANY = 20


async def test_no_batch_is_stored_while_its_answer_is_being_stored(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    finish = turns.finish_call(begun, "Hello", parts="abc")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        standing = await streams.store(begun, "abc")

    # The statement does not see the uncommitted end of the turn.
    assert (standing.is_held, standing.is_stored) == (True, False)
    assert rows.run(COUNT) == [(0,)]
    assert not (await streams.store(begun, "abc")).is_held


async def test_finish_turn_waits_for_the_batch_being_stored_and_includes_it(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    store = streams.store_call(Parts(begun, "abc"))
    async with rows.uncommitted(store.statement.sql, store.parameters):
        finishing = asyncio.create_task(_finish(turns, begun, stored_parts=3, parts="d"))
        await rows.until_waiting(1)

    await finishing
    assert rows.run(COUNT) == [(0,)]
    assert rows.run(FINISHED) == [("abcd",)]


async def test_no_batch_outlives_its_turn_in_any_order(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = [await turns.begin(conversation_id=uuid4()) for _ in range(MANY)]
    stores = [streams.store_all(*[Parts(attempt, "abc") for attempt in begun]) for _ in range(MANY)]
    finishes = [_finish(turns, attempt, parts="abc") for attempt in begun]

    await asyncio.gather(*stores[: MANY // 2], *finishes, *stores[MANY // 2 :])

    assert rows.run(COUNT) == [(0,)]
    assert rows.run(FINISHED) == [("abc",)] * MANY


async def test_release_turn_waits_for_the_batch_being_stored_and_removes_it(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    store = streams.store_call(Parts(begun, "abc"))
    async with rows.uncommitted(store.statement.sql, store.parameters):
        releasing = asyncio.create_task(turns.release(begun))
        await rows.until_waiting(1)

    assert await releasing
    assert rows.run(COUNT) == [(0,)]


async def test_delete_conversation_waits_for_the_batch_being_stored_and_deletes_it(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    store, delete = streams.store_call(Parts(begun, "abc")), _delete_call(begun)
    async with rows.uncommitted(store.statement.sql, store.parameters):
        deleting = asyncio.create_task(
            turns.database.run(act_as(None, turns.conversation_id), delete)
        )
        await rows.until_waiting(1)

    _, deleted = await deleting
    assert len(deleted) == 1
    assert rows.run(COUNT) == [(0,)]


async def test_no_batch_is_stored_while_its_conversation_is_being_deleted_and_none_waits(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    begun = await turns.begin()
    delete = _delete_call(begun)
    async with rows.uncommitted(delete.statement.sql, delete.parameters):
        standing = await streams.store(begun, "abc")

    assert (standing.is_held, standing.is_stored) == (True, False)
    assert not (await streams.store(begun, "abc")).is_held


async def _finish(turns: Turns, begun: Begun, **parameters: object) -> None:
    """Run finish_turn in the step that `lib.turns.finish.finish_turn` sends."""
    _, stored = await turns.database.run(
        act_as(begun.user_id, begun.conversation_id),
        turns.finish_call(begun, "Hello", **parameters),
    )
    assert stored


def _delete_call(begun: Begun) -> Call[ConversationId]:
    return DELETE_CONVERSATION(
        conversation_id=begun.conversation_id, user_id=begun.user_id, retention_days=0, now=None
    )
