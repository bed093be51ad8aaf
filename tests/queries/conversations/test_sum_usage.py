"""sum_usage."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from lib.conversations.usage import SUM_USAGE, Usage
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns, act_as

TODAY = NOON.date()


def usage_of(
    model_name: str | None, day: date, messages: int, prompt: int, completion: int, **counts: Any
) -> Usage:
    """Return a row; its answers have no configured model, as imported ones, unless one is given."""
    others: dict[str, Any] = {"model": None, "cached_tokens": 0, "reasoning_tokens": 0} | counts
    return Usage(
        **others,
        model_name=model_name,
        day=day,
        messages=messages,
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


async def test_the_tokens_of_all_conversations_are_summed_by_day_and_model(turns: Turns) -> None:
    await turns.exchange(1, user_id="ada")
    await turns.exchange(2, user_id="ada", conversation_id=uuid4())
    turns.wait(days=1)
    await turns.exchange(3, user_id="ada")
    begun = await turns.begin("Question 4", message_id="question-4", user_id="ada")
    await turns.finish(begun, answer_message_id="answer-4", model_name="another")

    assert await _sum(turns) == [
        usage_of("test-model", TODAY, 2, 14, 8),
        usage_of("another", TODAY + timedelta(1), 1, 7, 4),
        usage_of("test-model", TODAY + timedelta(1), 1, 7, 4),
    ]


async def test_tokens_of_the_cache_and_of_thoughts_are_summed_by_configured_model(
    turns: Turns,
) -> None:
    for number, model in enumerate(("small", "large", "small"), 1):
        begun = await turns.begin(message_id=f"question-{number}", user_id="ada")
        counts: dict[str, Any] = {"cached_tokens": number, "reasoning_tokens": 2 * number}
        await turns.finish(begun, answer_message_id=f"answer-{number}", model=model, **counts)

    assert await _sum(turns) == [
        usage_of("test-model", TODAY, 1, 7, 4, model="large", cached_tokens=2, reasoning_tokens=4),
        usage_of("test-model", TODAY, 2, 14, 8, model="small", cached_tokens=4, reasoning_tokens=8),
    ]


async def test_a_replaced_answers_tokens_are_summed_too(turns: Turns) -> None:
    await turns.exchange(1, user_id="ada")
    again = await turns.begin(None, message_id=None, user_id="ada", regenerates=True)
    await turns.finish(again, answer_message_id="answer-2")

    assert await _sum(turns) == [usage_of("test-model", TODAY, 2, 14, 8)]


async def test_tokens_that_the_provider_did_not_report_count_as_zero(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun, model_name=None, prompt_tokens=None, completion_tokens=None)

    assert await _sum(turns) == [usage_of(None, TODAY, 1, 0, 0)]


async def test_the_cost_of_questions_is_summed_without_a_model_and_as_no_message(
    turns: Turns,
) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun, paid_prompt_tokens=50, paid_completion_tokens=8)
    stopped = await turns.begin("And?", message_id="question-2", user_id="ada")
    await turns.release(stopped, paid_prompt_tokens=20)

    assert await _sum(turns) == [
        usage_of("test-model", TODAY, 1, 7, 4),
        usage_of(None, TODAY, 0, 70, 8),
    ]


async def test_a_sum_of_tokens_may_exceed_an_integer(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, user_id="ada")
    await turns.exchange(2, user_id="ada")
    rows.run("UPDATE chat_messages SET prompt_tokens = 2147483647 WHERE role = 'assistant'")

    assert await _sum(turns) == [usage_of("test-model", TODAY, 2, 4294967294, 8)]


@pytest.mark.parametrize("owner", ["eve", None])
async def test_another_users_tokens_are_not_summed(turns: Turns, owner: str | None) -> None:
    await turns.exchange(1, user_id=owner)

    assert await _sum(turns) == []


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_a_day_of_usage_begins_and_ends_by_utc(
    turns: Turns, rows: Rows, time_zone: str
) -> None:
    rows.run(f"ALTER ROLE CURRENT_USER IN DATABASE {_name(rows)} SET timezone = '{time_zone}'")
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    for number, seconds in enumerate((-86400, -0.000001, 0, 86400 - 0.000001, 86400), 1):
        turns.now = midnight + timedelta(seconds=seconds)
        await turns.exchange(number, user_id="ada")

    days = [date(2026, 1, number) for number in (1, 2, 3)]
    usage = await _sum(turns)
    [second] = await _sum(turns, first_day=days[1], last_day=days[1])

    assert [(row.day, row.messages) for row in usage] == [
        (days[0], 2), (days[1], 2), (days[2], 1),
    ]  # fmt: skip
    assert second == usage[1]


@pytest.mark.parametrize(
    ("days", "retention_days", "is_counted"),
    [(30, 30, True), (30.1, 30, False), (4000, 0, True)],
)
async def test_an_expired_answers_tokens_are_not_summed(
    turns: Turns, days: float, retention_days: int, *, is_counted: bool
) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(days=days)

    assert bool(await _sum(turns, retention_days=retention_days)) == is_counted


def _name(rows: Rows) -> str:
    return rows.connection.info.dbname


async def _sum(turns: Turns, **parameters: Any) -> list[Usage]:
    defaults = {
        "user_id": "ada",
        "first_day": date.min,
        "last_day": date.max,
        "retention_days": 0,
        "now": turns.now,
    }
    _, usage = await turns.database.run(act_as("ada"), SUM_USAGE(**(defaults | parameters)))
    return usage
