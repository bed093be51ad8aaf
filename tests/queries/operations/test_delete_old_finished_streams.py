"""delete_old_finished_streams."""

from uuid import UUID, uuid4

import pytest

import lib.operations.clean_up
from lib.operations.clean_up import Deletion
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import Turns

KEPT = "SELECT conversation_id FROM finished_streams"


async def test_what_ended_more_than_a_minute_ago_goes_whosever_it_is(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    old = [await finished(turns, "ada"), await finished(turns, None)]
    turns.wait(seconds=1)
    recent = await finished(turns, "ada")
    turns.wait(seconds=60)

    assert await streams.delete_old() == old
    assert rows.run(KEPT) == [(recent,)]


async def test_the_oldest_go_first_and_no_more_than_a_batch(turns: Turns, streams: Streams) -> None:
    ids: list[UUID] = []
    for _ in range(5):
        ids.append(await finished(turns))
        turns.wait(seconds=1)
    turns.wait(hours=1)

    deleted = [sorted(await streams.delete_old(batch_size=2)) for _ in range(4)]

    assert deleted == [sorted(ids[:2]), sorted(ids[2:4]), ids[4:], []]


async def test_one_that_is_being_removed_already_is_not_waited_for(
    turns: Turns, streams: Streams, rows: Rows
) -> None:
    removed, other = await finished(turns), await finished(turns)
    turns.wait(hours=1)
    again = await turns.begin("And?", message_id="question-2", conversation_id=removed)
    finish = turns.finish_call(again, "Well.", answer_message_id="answer-2", parts="new")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        assert await streams.delete_old() == [other]

    assert await streams.delete_old() == []
    assert rows.run("SELECT parts FROM finished_streams") == [("new",)]


async def test_a_batch_begins_where_the_one_before_ended(turns: Turns, streams: Streams) -> None:
    await finished(turns)
    turns.wait(seconds=1)
    since = turns.now
    later = await finished(turns)
    turns.wait(hours=1)

    assert await streams.delete_old(since=since) == [later]


async def test_the_cron_deletes_batch_after_batch(
    turns: Turns, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.operations.clean_up, "STREAM_BATCH", 2)
    # Long ago, by the database's clock.
    for _ in range(5):
        await finished(turns)

    await Deletion(turns.database, retention_days=30).delete_finished_streams()

    assert rows.run(KEPT) == []


async def test_when_its_time_is_over_the_cron_begins_no_batch(
    turns: Turns, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.operations.clean_up, "has_time", lambda: False)
    kept = await finished(turns)

    await Deletion(turns.database, retention_days=30).delete_finished_streams()

    assert rows.run(KEPT) == [(kept,)]


async def finished(turns: Turns, user_id: str | None = None) -> UUID:
    """Answer in a conversation of its own; return which."""
    conversation_id = uuid4()
    await turns.finish(await turns.begin(user_id=user_id, conversation_id=conversation_id))
    return conversation_id
