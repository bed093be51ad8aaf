"""begin_turn: each attempt that asks the model is counted, and which one may ask for a title."""

from typing import Any

import pytest

from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import LEASE_SECONDS, Begun, Turns

FIVE: dict[str, Any] = {"messages_per_day": 5}
MARKS = "SELECT failed_attempts, owed_attempt FROM chat_messages WHERE role = 'user'"


async def test_sending_stopping_and_sending_again_is_counted_each_time_and_ends_at_the_limit(
    turns: Turns, rows: Rows
) -> None:
    verdicts: list[str] = []
    for _ in range(8):
        begun = await turns.begin(**FIVE)
        verdicts.append(begun.verdict)
        if begun.verdict == "taken":
            # As a stop before the first token ends.
            await turns.release(begun)

    assert verdicts == ["taken"] * 5 + ["over_quota"] * 3
    assert quota_counts(rows) == {"somebody": QuotaCount(5, 5)}
    assert rows.current(turns.conversation_id) == ["Hello!"]


@pytest.mark.parametrize("regenerates", [False, True])
@pytest.mark.parametrize("finish_reason", ["error", "interrupted", "aborted", "timeout"])
async def test_another_attempt_after_any_end_of_an_answer_is_counted(
    turns: Turns, rows: Rows, finish_reason: str, *, regenerates: bool
) -> None:
    await turns.finish(await turns.begin(**FIVE), "Hel", finish_reason=finish_reason)

    again = await turns.begin(regenerates=regenerates, **FIVE)

    is_answer = finish_reason in {"aborted", "timeout"} and not regenerates
    assert again.verdict == ("answered" if is_answer else "taken")
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 1) if is_answer else QuotaCount(2, 2)}


async def test_taking_over_a_turn_whose_function_was_killed_is_counted(
    turns: Turns, rows: Rows
) -> None:
    killed = await turns.begin(**FIVE)
    turns.wait(seconds=LEASE_SECONDS + 1)
    assert (await turns.begin(**FIVE)).verdict == "lapsed"
    await turns.release(killed)

    assert (await turns.begin(**FIVE)).verdict == "taken"
    assert quota_counts(rows)["somebody"].day == 2


@pytest.mark.parametrize("regenerates", [False, True])
async def test_the_attempt_after_one_that_the_provider_failed_is_free_once_and_needs_no_quota(
    turns: Turns, rows: Rows, *, regenerates: bool
) -> None:
    await _fail(turns, rows, await turns.begin(messages_per_day=1), times=1)

    owed = await turns.begin(messages_per_day=1, regenerates=regenerates)

    assert (owed.verdict, owed.quota) == ("taken", None)
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 1)}
    # The number of failures stays, so that they stay bounded.
    assert rows.run(MARKS) == [(1, None)]
    # A stop of the free attempt owes nothing more.
    await turns.release(owed)
    assert (await turns.begin(messages_per_day=1)).verdict == "over_quota"


async def test_the_provider_may_fail_a_question_three_times_for_free_and_not_a_fourth_time(
    turns: Turns, rows: Rows
) -> None:
    counts: list[int] = []
    for failures in range(6):
        begun = await turns.begin(messages_per_day=9)
        assert begun.verdict == "taken"
        counts.append(quota_counts(rows)["somebody"].day)
        await _fail(turns, rows, begun, times=failures + 1)

    assert counts == [1, 1, 1, 1, 2, 3]


async def test_an_owed_attempt_is_used_once_by_many_requests_for_it(
    turns: Turns, rows: Rows
) -> None:
    await _fail(turns, rows, await turns.begin(**FIVE), times=1)

    begun = [await turns.begin(**FIVE) for _ in range(3)]

    assert [each.verdict for each in begun] == ["taken", "being_answered", "being_answered"]
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 1)}


async def test_an_attempt_that_is_refused_for_another_reason_stays_owed(
    turns: Turns, rows: Rows
) -> None:
    await _fail(turns, rows, await turns.begin(**FIVE), times=1)
    rows.run("UPDATE conversations SET status = 'archived'")

    assert (await turns.begin(**FIVE)).verdict == "archived"
    assert rows.run(MARKS) == [(1, True)]


async def test_an_edit_of_a_question_that_the_provider_failed_is_a_new_question_and_counted(
    turns: Turns, rows: Rows
) -> None:
    await _fail(turns, rows, await turns.begin(**FIVE), times=1)

    edited = await turns.begin("Better put", **FIVE)

    assert edited.verdict == "taken"
    assert quota_counts(rows)["somebody"].day == 2
    current = f"{MARKS} AND superseded_at IS NULL"
    assert rows.run(current) == [(None, None)]


@pytest.mark.parametrize("mark", ["failed_attempts = 1", "owed_attempt = TRUE"])
async def test_only_a_question_carries_the_marks_of_failed_attempts(
    turns: Turns, rows: Rows, mark: str
) -> None:
    await turns.exchange(1)

    with pytest.raises(Exception, match=r"chk_(failed_attempts|owed_attempt)"):
        rows.run(f"UPDATE chat_messages SET {mark} WHERE role = 'assistant'")


async def test_the_attempt_that_creates_a_conversation_may_ask_for_its_title_and_no_later_one(
    turns: Turns,
) -> None:
    first = await turns.begin()
    own_retry = await turns.begin(turn_id=first.turn_id)
    being_answered = await turns.begin()
    await turns.release(first)
    turns.wait(seconds=1)
    again = await turns.begin()
    own_retry_of_that = await turns.begin(turn_id=again.turn_id)
    await turns.finish(again)
    edited = await turns.begin("Better put")
    await turns.finish(edited, answer_message_id="answer-2")
    next_one = await turns.begin("And?", message_id="question-2")

    assert [begun.may_ask_title for begun in (first, own_retry)] == [True, True]
    later = (being_answered, again, own_retry_of_that, edited, next_one)
    assert [begun.may_ask_title for begun in later] == [False] * 5


async def test_a_conversation_that_has_expired_begins_again_and_may_get_a_title_again(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=31)

    begun = await turns.begin("Question 2", message_id="question-2", retention_days=30)

    assert (begun.verdict, begun.may_ask_title) == ("taken", True)


@pytest.mark.parametrize(("finish_reason", "may_ask"), [(None, True), ("error", False)])
async def test_an_owed_attempt_may_ask_for_a_title_unless_the_failed_answer_had_begun(
    turns: Turns, rows: Rows, finish_reason: str | None, *, may_ask: bool
) -> None:
    failed = await turns.begin()
    if finish_reason:
        await turns.finish(failed, "Hel", finish_reason=finish_reason)
        rows.run(
            "UPDATE chat_messages SET failed_attempts = 1, owed_attempt = TRUE WHERE role = 'user'"
        )
    else:
        await _fail(turns, rows, failed, times=1)
    turns.wait(seconds=1)

    assert (await turns.begin()).may_ask_title is may_ask


async def _fail(turns: Turns, rows: Rows, begun: Begun, *, times: int) -> None:
    """End an attempt as the provider's failure does, which is its `times`th for the question."""
    await turns.release(begun)
    rows.run(
        "UPDATE chat_messages SET failed_attempts = %s, owed_attempt = TRUE "
        "WHERE message_id = 'question-1' AND superseded_at IS NULL",
        times,
    )
