"""The summary in find_conversation_summary, and export_summaries."""

import json
from datetime import timedelta

import pytest

from lib.conversations.changes import FIND_CONVERSATION_SUMMARY
from lib.conversations.export import EXPORT_SUMMARIES, SummaryRow
from tests.support.steps.rows import Rows
from tests.support.steps.summaries import Summaries
from tests.support.steps.turns import NOON, Turns, act_as


@pytest.fixture
async def summaries(turns: Turns, rows: Rows) -> Summaries:
    """Return the summaries of a user's conversation with three questions and their answers."""
    for number in range(1, 4):
        await turns.exchange(number, user_id="ada")
    return Summaries(turns, rows, "ada")


async def test_the_newest_summary_is_found_and_one_that_is_being_made_is_not(
    summaries: Summaries,
) -> None:
    assert await _find(summaries) is None
    await summaries.make("Answer 1", "One")
    await summaries.make("Answer 2", "Two")
    await summaries.claim("Answer 3", known_id=summaries.id_of("Answer 2"))

    assert await _find(summaries) == {
        "content": "Two",
        "through_message_id": "answer-2",
        "created_at": "2026-01-01T12:00:00.000000+00:00",
        "model": "small-model",
    }


@pytest.mark.parametrize(("retention_days", "is_there"), [(29, False), (30, True), (0, True)])
async def test_a_summary_is_hidden_when_its_oldest_message_expires(
    summaries: Summaries, retention_days: int, *, is_there: bool
) -> None:
    summaries.turns.now = NOON - timedelta(days=1)
    await summaries.make("Answer 1")
    summaries.turns.now = NOON + timedelta(days=29)

    assert bool(await _find(summaries, retention_days=retention_days)) == is_there
    assert bool(await _export(summaries, retention_days=retention_days)) == is_there


async def test_summaries_are_exported_with_every_column_in_batches(summaries: Summaries) -> None:
    for number in range(1, 4):
        await summaries.make(f"Answer {number}", f"Through {number}")

    first = await _export(summaries, batch_size=2)
    last = first[-1]
    second = await _export(
        summaries,
        cursor_conversation_id=last.conversation_id,
        cursor_through_id=last.through_id,
        batch_size=2,
    )

    contents = [json.loads(row.content) for row in (*first, *second)]
    assert [each["content"] for each in contents] == ["Through 1", "Through 2", "Through 3"]
    assert {*contents[0]} == {
        "conversation_id", "through_id", "user_id", "content", "oldest_at", "model", "claim_id",
        "claim_expires_at", "created_at",
    }  # fmt: skip


async def _find(summaries: Summaries, retention_days: int = 0) -> dict[str, str | None] | None:
    turns = summaries.turns
    _, [found] = await turns.database.run(
        act_as("ada", turns.conversation_id),
        FIND_CONVERSATION_SUMMARY(
            conversation_id=turns.conversation_id,
            user_id="ada",
            retention_days=retention_days,
            now=turns.now,
        ),
    )
    return found.summary


async def _export(summaries: Summaries, **parameters: object) -> list[SummaryRow]:
    cursor = {"cursor_conversation_id": None, "cursor_through_id": None}
    limits = {"batch_size": 100, "retention_days": 0, "now": summaries.turns.now}
    call = EXPORT_SUMMARIES(user_id="ada", **(cursor | limits | parameters))
    _, rows = await summaries.turns.database.run(act_as("ada"), call)
    return rows
