"""begin_turn: which messages a quota counts, and that a message over it stores nothing."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.turns.quota import Quota, Refusal, Subject
from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Begun, Turns

TWO: dict[str, Any] = {"messages_per_minute": 2, "messages_per_day": 3}
LEFT = """
    SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM conversations),
    (SELECT count(*) FROM chat_messages)
"""


async def test_each_new_message_is_counted_until_none_is_left_in_the_minute(
    turns: Turns, rows: Rows
) -> None:
    seen = [await _say(turns, number) for number in range(3)]

    assert [turn.verdict for turn in seen] == ["taken", "taken", "over_quota"]
    assert seen[0].quota == _quota(1, 60, 2, 86_400)
    assert seen[1].quota == _quota(0, 59, 1, 86_399)
    assert seen[2].quota == _quota(0, 58, 1, 86_398, refusal="uses")
    assert quota_counts(rows) == {"somebody": QuotaCount(2, 2)}


async def test_a_new_minute_allows_more_messages_until_the_day_is_used_up(
    turns: Turns, rows: Rows
) -> None:
    for number in range(2):
        await _say(turns, number)
    turns.wait(seconds=58)

    begun, refused = [await _say(turns, number) for number in (2, 3)]

    assert (begun.verdict, begun.quota) == ("taken", _quota(1, 60, 0, 86_340))
    assert (refused.verdict, refused.quota) == (
        "over_quota",
        _quota(1, 59, 0, 86_339, refusal="uses"),
    )
    turns.wait(seconds=86_338)
    again = await _say(turns, 4)
    assert (again.verdict, again.quota) == ("taken", _quota(1, 60, 2, 86_400))
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 1)}


async def test_a_message_over_the_quota_stores_nothing_not_even_its_conversation(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")
    rows.run(
        "INSERT INTO quotas VALUES ('ada', 9, %s, 9, %s)",
        turns.now.replace(hour=13),
        turns.now.replace(hour=13),
    )

    begun = await turns.begin(user_id="ada", **TWO)

    assert (begun.verdict, begun.messages) == ("over_quota", [])
    assert rows.run(LEFT) == [(1, 0, 0)]
    assert quota_counts(rows) == {"ada": QuotaCount(9, 9)}


async def test_an_edit_that_is_over_the_quota_replaces_nothing(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, messages_per_minute=1)

    edited = await turns.begin("Better put", messages_per_minute=1)
    regenerated = await turns.begin("Question 1", regenerates=True, messages_per_minute=1)

    assert [edited.verdict, regenerated.verdict] == ["over_quota"] * 2
    assert rows.all(turns.conversation_id) == [("Question 1", True), ("Answer 1", True)]
    assert rows.run("SELECT turn_id FROM conversations") == [(None,)]


async def test_a_message_that_asks_no_model_is_not_counted_again(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin(**TWO)
    being_answered = await turns.begin(**TWO)
    own_retry = await turns.begin(turn_id=begun.turn_id, **TWO)
    await turns.finish(begun)
    answered = await turns.begin(**TWO)

    verdicts = [turn.verdict for turn in (being_answered, own_retry, answered)]
    assert verdicts == ["being_answered", "taken", "answered"]
    assert [turn.quota for turn in (being_answered, own_retry, answered)] == [None] * 3
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 1)}


async def test_edits_and_regenerated_answers_are_counted(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, **TWO)
    edited = await turns.begin("Better put", message_id="question-1", **TWO)
    await turns.finish(edited, answer_message_id="answer-2")
    turns.wait(seconds=60)

    regenerated = await turns.begin("Better put", regenerates=True, **TWO)

    assert [edited.verdict, regenerated.verdict] == ["taken", "taken"]
    assert quota_counts(rows) == {"somebody": QuotaCount(1, 3)}


async def test_a_message_refused_for_another_reason_is_not_counted(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    limits: dict[str, Any] = {"messages_per_minute": 5}
    verdicts = [
        (await turns.begin("Q", message_id="answer-1", **limits)).verdict,
        (await turns.begin("Q", message_id="new", max_messages=2, **limits)).verdict,
        (await turns.begin("Q", message_id="new", takes_turn=False, **limits)).verdict,
        (await _regenerate_nothing(turns)).verdict,
    ]
    rows.run("UPDATE conversations SET status = 'archived'")
    verdicts += [(await turns.begin("Q", message_id="new", **limits)).verdict]
    rows.run("UPDATE conversations SET status = 'active'")
    await turns.begin("Unanswered", message_id="question-2")
    verdicts += [(await turns.begin("Q", message_id="new", **limits)).verdict]

    assert verdicts == [
        "message_id_taken", "full", "unanswered", "nothing_to_answer", "archived",
        "turn_in_progress",
    ]  # fmt: skip
    assert quota_counts(rows) == {}


async def test_callers_are_counted_separately(turns: Turns, rows: Rows) -> None:
    for user_id in ("ada", "eve", None):
        begun = await turns.begin(user_id=user_id, conversation_id=uuid4(), messages_per_minute=1)
        assert begun.verdict == "taken"

    assert quota_counts(rows) == dict.fromkeys(("ada", "eve", "somebody"), QuotaCount(1, 1))


async def test_without_limits_no_message_is_counted(turns: Turns, rows: Rows) -> None:
    begun = [await _say(turns, number, minute=0, day=0) for number in range(5)]

    assert {(turn.verdict, turn.quota) for turn in begun} == {("taken", None)}
    assert quota_counts(rows) == {}


@pytest.mark.parametrize("is_one_conversation", [False, True])
async def test_of_many_messages_at_once_exactly_as_many_as_the_quota_allows_are_taken(
    turns: Turns, rows: Rows, *, is_one_conversation: bool
) -> None:
    shared = uuid4()
    conversations = [shared if is_one_conversation else uuid4() for _ in range(40)]
    if is_one_conversation:
        await turns.release(await turns.begin(conversation_id=shared, messages_per_minute=0))

    async def begin(number: int, conversation_id: UUID) -> Begun:
        while True:
            begun = await turns.begin(
                message_id=f"new-{number}",
                conversation_id=conversation_id,
                user_id=None,
                messages_per_minute=7,
                # Each lease has ended when the next one looks.
                lease_seconds=0.0,
            )
            if begun.verdict != "lapsed" or begun.held_turn_id is None:
                return begun
            await turns.release(replace(begun, turn_id=begun.held_turn_id))

    begun = await asyncio.gather(*map(begin, range(40), conversations))

    assert Counter(turn.verdict for turn in begun) == {"taken": 7, "over_quota": 33}
    assert quota_counts(rows) == {"somebody": QuotaCount(7, 7)}
    stored = "SELECT count(*) FROM chat_messages WHERE message_id LIKE 'new-%%'"
    assert rows.run(stored) == [(7,)]


@pytest.mark.parametrize("switched_off", ["nestloop", "hashjoin", "mergejoin", "material"])
async def test_a_refused_message_is_not_counted_under_any_plan(
    turns: Turns, rows: Rows, switched_off: str
) -> None:
    await turns.exchange(1)
    rows.run(f"ALTER ROLE postgres SET enable_{switched_off} = off")
    try:
        other = Turns(turns.database, turns.conversation_id, turns.now)
        await other.database.close()

        full = await other.begin("Q", message_id="new", max_messages=2, messages_per_minute=1)
    finally:
        rows.run(f"ALTER ROLE postgres RESET enable_{switched_off}")

    assert full.verdict == "full"
    assert quota_counts(rows) == {}


async def _say(turns: Turns, number: int, *, minute: int = 2, day: int = 3) -> Begun:
    """Send a new message a second after the last one, with no answer still to come."""
    begun = await turns.begin(
        f"Question {number}",
        message_id=f"question-{number}",
        messages_per_minute=minute,
        messages_per_day=day,
    )
    if begun.verdict == "taken":
        await turns.finish(begun, answer_message_id=f"answer-{number}")
    turns.wait(seconds=1)
    return begun


async def _regenerate_nothing(turns: Turns) -> Begun:
    return await turns.begin(
        None, message_id=None, regenerates=True, conversation_id=uuid4(), messages_per_minute=5
    )


def _quota(
    minute: int,
    minute_seconds: float,
    day: int,
    day_seconds: float,
    *,
    refusal: Refusal | None = None,
) -> Quota:
    return Quota(
        subject=Subject(name="somebody", kind="user", tokens_per_day=0, bytes_per_day=0, **TWO),
        refusal=refusal,
        minute_remaining=minute,
        minute_reset_seconds=minute_seconds,
        day_remaining=day,
        day_reset_seconds=day_seconds,
    )
