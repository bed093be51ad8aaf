"""add_cost, and the costs that finish_turn and release_turn store."""

from dataclasses import replace
from typing import Any

import pytest

from lib.turns.finish import ADD_COST
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Begun, Turns, act_as

PAID: dict[str, Any] = {"paid_prompt_tokens": 50, "paid_completion_tokens": 8}
COSTS = "SELECT prompt_tokens, completion_tokens FROM chat_messages WHERE role = 'user'"
COUNTED = "SELECT token_count FROM quotas ORDER BY subject"
LIMITS: dict[str, Any] = {"messages_per_day": 100}


async def test_a_cost_is_added_to_the_question_and_to_the_quota(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)
    await turns.release(begun)

    assert await _add_cost(turns, begun)
    assert await _add_cost(turns, begun)

    assert (rows.run(COSTS), rows.run(COUNTED)) == ([(100, 16)], [(116,)])


async def test_the_cost_of_a_question_that_is_deleted_is_added_to_the_quota(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)
    rows.run("DELETE FROM conversations RETURNING id")

    assert not await _add_cost(turns, begun)

    assert rows.run(COUNTED) == [(58,)]


@pytest.mark.parametrize("intruder", ["eve", None])
async def test_no_cost_is_added_to_another_callers_question(
    turns: Turns, rows: Rows, intruder: str | None
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)

    assert not await _add_cost(turns, replace(begun, user_id=intruder), subject="intruder")

    # The intruder pays for its own request.
    assert (rows.run(COSTS), rows.run(COUNTED)) == ([(None, None)], [(0,), (58,)])


async def test_the_quota_counts_the_answer_and_the_question_only_the_rest(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)

    await turns.finish(begun, prompt_tokens=7, completion_tokens=4, **PAID)

    assert (rows.run(COSTS), rows.run(COUNTED)) == ([(50, 8)], [(69,)])


async def test_an_answer_that_is_stored_again_after_a_lost_connection_costs_once(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)

    for _ in range(2):
        assert await turns.finish(begun, has_provider_failed=True, finish_reason="error", **PAID)

    assert (rows.run(COSTS), rows.run(COUNTED)) == ([(50, 8)], [(69,)])
    assert rows.run("SELECT failed_attempts FROM chat_messages WHERE role = 'user'") == [(1,)]


async def test_a_turn_that_is_released_again_after_a_lost_connection_costs_once(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)

    assert await turns.release(begun, has_provider_failed=True, **PAID)
    assert not await turns.release(begun, has_provider_failed=True, **PAID)

    assert (rows.run(COSTS), rows.run(COUNTED)) == ([(50, 8)], [(58,)])
    assert rows.run("SELECT failed_attempts FROM chat_messages WHERE role = 'user'") == [(1,)]


async def test_a_cost_beyond_an_integer_is_stored_as_the_largest(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)
    most: dict[str, Any] = {"paid_prompt_tokens": 2**31 - 1, "paid_completion_tokens": 2**31 - 1}
    await turns.finish(begun, has_provider_failed=True, finish_reason="error", **most)
    again = await turns.begin(user_id="ada", **LIMITS)
    assert again.verdict == "taken"

    await turns.release(again, **most)
    await _add_cost(turns, again, **most)

    assert rows.run(COSTS) == [(2**31 - 1, 2**31 - 1)]


async def test_an_answer_that_cost_no_more_than_itself_leaves_its_question_unwritten(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
    version = "SELECT xmin::text, ctid::text FROM chat_messages WHERE role = 'user'"
    before = rows.run(version)

    await turns.finish(begun)

    assert rows.run(version) == before


async def test_tokens_after_the_end_of_the_day_are_not_the_last_days(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada", **LIMITS)
    await turns.finish(begun)
    assert rows.run(COUNTED) == [(11,)]

    turns.wait(days=1)
    await turns.exchange(2, user_id="ada", **LIMITS)

    assert rows.run(COUNTED) == [(11,)]


async def _add_cost(turns: Turns, begun: Begun, subject: str = "ada", **paid: Any) -> bool:
    """Run add_cost; return whether the question has the tokens."""
    call = ADD_COST(
        conversation_id=begun.conversation_id,
        user_id=begun.user_id,
        question_id=begun.question.id,
        quota_subjects=[subject],
        now=turns.now,
        **(PAID | paid),
    )
    _, [added] = await turns.database.run(act_as(begun.user_id, begun.conversation_id), call)
    return added.question_id == begun.question.id
