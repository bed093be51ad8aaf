"""export_stream_batches and export_finished_streams."""

import json
from datetime import datetime
from uuid import UUID, uuid4

from lib.conversations.export import (
    EXPORT_FINISHED_STREAMS,
    EXPORT_STREAM_BATCHES,
    FinishedStreamRow,
    StreamBatchRow,
)
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import Turns, act_as


async def test_a_users_stream_batches_are_exported_with_every_column(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin(user_id="ada")
    await streams.store(begun, "abc")

    [row] = await _batches(turns)

    content = json.loads(row.content)
    assert datetime.fromisoformat(content.pop("created_at"))
    assert content == {
        "conversation_id": str(turns.conversation_id),
        "turn_id": str(begun.turn_id),
        "user_id": "ada",
        "first_part": 0,
        "part_count": 3,
        "parts": "abc",
        "followed_at": None,
    }


async def test_the_next_page_of_stream_batches_continues_after_the_last_one(
    turns: Turns, streams: Streams
) -> None:
    first, second = sorted([uuid4(), uuid4()])
    for conversation_id in (first, second):
        begun = await turns.begin(user_id="ada", conversation_id=conversation_id)
        for number in range(3):
            await streams.store(begun, "a", number)
    everything = [(turn, number) for turn in (first, second) for number in range(3)]

    seen: list[tuple[UUID, int]] = []
    while rows := await _batches(turns, last=seen[-1] if seen else None, batch_size=2):
        seen += [(row.conversation_id, row.first_part) for row in rows]

    assert seen == everything


async def test_a_users_finished_streams_are_exported_with_every_column(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun, parts="abc")

    [row] = await _finished(turns)

    content = json.loads(row.content)
    assert datetime.fromisoformat(content.pop("ended_at")) == turns.now
    assert content == {
        "conversation_id": str(turns.conversation_id),
        "turn_id": str(begun.turn_id),
        "user_id": "ada",
        "answer_message_id": "answer-1",
        "parts": "abc",
    }


async def test_the_next_page_of_finished_streams_continues_after_the_last_one(turns: Turns) -> None:
    ids: list[tuple[UUID, UUID]] = []
    for _ in range(2):
        conversation_id = uuid4()
        for number in ("1", "2"):
            begun = await turns.begin(
                message_id=f"question-{number}", user_id="ada", conversation_id=conversation_id
            )
            await turns.finish(begun, answer_message_id=f"answer-{number}")
            ids.append((conversation_id, begun.turn_id))

    seen: list[tuple[UUID, UUID]] = []
    while rows := await _finished(turns, last=seen[-1] if seen else None, batch_size=3):
        seen += [(row.conversation_id, row.turn_id) for row in rows]

    assert seen == sorted(ids)


async def test_other_callers_streams_are_not_exported(turns: Turns, streams: Streams) -> None:
    for owner in ("eve", None):
        await streams.store(await turns.begin(user_id=owner, conversation_id=uuid4()), "abc")
        await turns.finish(await turns.begin(user_id=owner, conversation_id=uuid4()))

    assert await _batches(turns) == []
    assert await _finished(turns) == []


async def test_expired_streams_are_not_exported(turns: Turns, streams: Streams, rows: Rows) -> None:
    await streams.store(await turns.begin(user_id="ada", conversation_id=uuid4()), "abc")
    rows.run("UPDATE stream_batches SET created_at = %s", turns.now)
    await turns.finish(await turns.begin(user_id="ada", conversation_id=uuid4()), parts="abc")

    turns.wait(days=30)
    assert len(await _batches(turns)) == len(await _finished(turns)) == 1
    turns.wait(seconds=1)
    assert await _batches(turns) == await _finished(turns) == []


async def _batches(
    turns: Turns, last: tuple[UUID, int] | None = None, batch_size: int = 100
) -> list[StreamBatchRow]:
    conversation_id, first_part = last or (None, None)
    call = EXPORT_STREAM_BATCHES(
        user_id="ada",
        cursor_conversation_id=conversation_id,
        cursor_first_part=first_part,
        batch_size=batch_size,
        retention_days=30,
        now=turns.now,
    )
    _, rows = await turns.database.run(act_as("ada"), call)
    return rows


async def test_a_batch_of_finished_streams_ends_with_the_one_that_reaches_the_bytes(
    turns: Turns,
) -> None:
    for number in range(4):
        begun = await turns.begin(user_id="ada", conversation_id=UUID(int=number + 1))
        await turns.finish(begun, parts="x" * 1000)

    assert len(await _finished(turns, max_bytes=1)) == 1
    assert len(await _finished(turns, max_bytes=2500)) == 3


async def _finished(
    turns: Turns,
    last: tuple[UUID, UUID] | None = None,
    batch_size: int = 100,
    max_bytes: int = 1_000_000,
) -> list[FinishedStreamRow]:
    conversation_id, turn_id = last or (None, None)
    call = EXPORT_FINISHED_STREAMS(
        user_id="ada",
        cursor_conversation_id=conversation_id,
        cursor_turn_id=turn_id,
        batch_size=batch_size,
        max_bytes=max_bytes,
        retention_days=30,
        now=turns.now,
    )
    _, rows = await turns.database.run(act_as("ada"), call)
    return rows
