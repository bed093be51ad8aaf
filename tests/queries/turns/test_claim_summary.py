"""claim_summary, store_summary and release_summary, and how a summary dies with its messages."""

from datetime import timedelta
from uuid import uuid4

import pytest

from lib.conversations.changes import CLAIM_CONVERSATION
from lib.database.acting import REMEMBER_USER, act_as
from lib.identity.callers import Caller
from lib.turns.summaries import Claim
from tests.support.steps.rows import Rows
from tests.support.steps.summaries import LEASE_SECONDS, Summaries
from tests.support.steps.turns import Turns

CLAIMED = Claim(is_claimed=True, lease_remaining_seconds=None)
NEWER_IS_STORED = Claim(is_claimed=False, lease_remaining_seconds=None)


@pytest.fixture
async def summaries(turns: Turns, rows: Rows) -> Summaries:
    """Return the summaries of a conversation with four questions and their answers."""
    for number in range(1, 5):
        await turns.exchange(number)
    return Summaries(turns, rows)


async def test_a_summary_is_stored_by_the_attempt_that_has_claimed_it(
    summaries: Summaries, rows: Rows
) -> None:
    assert await summaries.claim("Answer 2") == CLAIMED
    assert summaries.stored == [None]

    assert not await summaries.store("Answer 2", token=uuid4())
    assert await summaries.store("Answer 2")

    assert rows.run(
        "SELECT content, through_id, model, claim_id, claim_expires_at FROM conversation_summaries"
    ) == [("A summary", summaries.id_of("Answer 2"), "small-model", None, None)]


async def test_no_second_attempt_claims_a_summary_while_one_is_being_made(
    summaries: Summaries, turns: Turns
) -> None:
    await summaries.claim("Answer 2")
    turns.wait(seconds=10)

    other = await summaries.claim("Answer 3", token=uuid4())

    assert other == Claim(is_claimed=False, lease_remaining_seconds=LEASE_SECONDS - 10)
    assert await summaries.store("Answer 2")


async def test_the_same_attempt_may_claim_again_when_its_connection_was_lost(
    summaries: Summaries,
) -> None:
    assert await summaries.claim("Answer 2") == CLAIMED
    assert await summaries.claim("Answer 2") == CLAIMED

    assert summaries.stored == [None]


@pytest.mark.parametrize("way", ["its time is over", "it is given up", "the turn takes it over"])
async def test_another_attempt_claims_the_summary_and_the_first_one_stores_nothing(
    summaries: Summaries, turns: Turns, way: str
) -> None:
    await summaries.claim("Answer 2")
    if way == "its time is over":
        turns.wait(seconds=LEASE_SECONDS)
    if way == "it is given up":
        assert await summaries.release()
        assert summaries.stored == []

    takes_over, second = way == "the turn takes it over", uuid4()
    claim = await summaries.claim("Answer 3", takes_over=takes_over, token=second)

    assert claim == CLAIMED
    assert not await summaries.store("Answer 2", "Late")
    assert not await summaries.release()
    assert await summaries.store("Answer 3", token=second)
    assert summaries.stored == ["A summary"]


async def test_a_summary_is_not_made_again_by_an_attempt_that_does_not_know_it_yet(
    summaries: Summaries,
) -> None:
    await summaries.make("Answer 2", "First")

    assert await summaries.claim("Answer 2") == NEWER_IS_STORED
    assert await summaries.claim("Answer 3") == NEWER_IS_STORED

    known_id = summaries.id_of("Answer 2")
    assert await summaries.claim("Answer 3", known_id=known_id) == CLAIMED


@pytest.mark.parametrize("intruder", ["eve", "ada"])
async def test_nobody_claims_stores_or_gives_up_a_summary_of_another_callers_conversation(
    summaries: Summaries, intruder: str
) -> None:
    await summaries.claim("Answer 2")
    summaries.user_id = intruder

    assert await summaries.claim("Answer 2", takes_over=True) is None
    assert not await summaries.store("Answer 2")
    assert not await summaries.release()
    assert summaries.stored == [None]


async def test_an_edit_takes_away_the_summaries_of_the_replaced_messages_and_no_other(
    summaries: Summaries, turns: Turns
) -> None:
    await summaries.make("Answer 1", "One")
    await summaries.make("Answer 2", "Two")
    await summaries.claim("Answer 3", known_id=summaries.id_of("Answer 2"))

    edited = await turns.begin("Another", message_id="question-2")

    assert edited.verdict == "taken"
    assert summaries.stored == ["One"]
    assert not await summaries.store("Answer 3")


async def test_a_new_answer_takes_away_the_summaries_of_the_replaced_one_when_it_is_stored(
    summaries: Summaries, turns: Turns
) -> None:
    await summaries.make("Answer 1", "One")
    await summaries.make("Answer 2", "Two")

    again = await turns.begin("Question 2", message_id="question-2", regenerates=True)
    assert summaries.stored == ["One", "Two"]
    await turns.finish(again, answer_message_id="answer-9")

    assert summaries.stored == ["One"]


@pytest.mark.parametrize("is_by_hand", [True, False])
async def test_a_summary_is_deleted_with_the_oldest_message_that_it_tells(
    summaries: Summaries, turns: Turns, rows: Rows, *, is_by_hand: bool
) -> None:
    await summaries.make("Answer 1", "One")
    await summaries.make("Answer 2", "Two")
    other = Summaries(Turns(turns.database, uuid4(), turns.now), rows)
    await other.turns.exchange(7)
    await other.make("Answer 7", "Of another conversation")

    if is_by_hand:
        rows.run("DELETE FROM chat_messages WHERE content = 'Question 1'")
    else:
        before = turns.now - timedelta(days=1)
        rows.run("UPDATE chat_messages SET created_at = %s WHERE content = 'Question 1'", before)
        rows.run("SELECT delete_old_chat_messages(now() - %s::timestamptz)", turns.now)

    assert summaries.stored == ["Of another conversation"]


async def test_a_summary_stays_when_a_later_or_a_replaced_message_is_deleted(
    summaries: Summaries, turns: Turns, rows: Rows
) -> None:
    edited = await turns.begin("Another", message_id="question-2")
    await turns.finish(edited, "Another answer", answer_message_id="answer-9")
    await summaries.make("Another answer")

    rows.run("DELETE FROM chat_messages WHERE content IN ('Question 2', 'Answer 3')")
    await turns.exchange(5)
    rows.run("DELETE FROM chat_messages WHERE content = 'Answer 5'")

    assert summaries.stored == ["A summary"]


async def test_the_summaries_of_a_conversation_are_deleted_with_it(
    summaries: Summaries, rows: Rows
) -> None:
    await summaries.make("Answer 2")

    rows.run("DELETE FROM conversations")

    assert summaries.stored == []


async def test_a_claimed_conversation_keeps_its_summaries(
    summaries: Summaries, turns: Turns, rows: Rows
) -> None:
    await summaries.make("Answer 2")

    named = {"user_id": "ada", "conversation_id": turns.conversation_id}
    await turns.database.run(
        REMEMBER_USER(user_id="ada", user_email=None, user_name=None, token_issued_at=None),
        act_as(Caller("ada"), turns.conversation_id),
        CLAIM_CONVERSATION(**named, retention_days=0, now=turns.now),
    )

    assert rows.run("SELECT user_id, content FROM conversation_summaries") == [("ada", "A summary")]


async def test_no_summary_goes_on_from_one_that_is_deleted_or_expired_by_now(
    summaries: Summaries, turns: Turns
) -> None:
    await summaries.make("Answer 1")
    known_id = summaries.id_of("Answer 1")

    turns.now += timedelta(days=31)
    claim = await summaries.claim("Answer 2", known_id=known_id, retention_days=30)
    assert claim == Claim(is_claimed=False, lease_remaining_seconds=None)
    # It is deleted, so another one may be made of what is kept.
    assert summaries.stored == []
    claim = await summaries.claim("Answer 2", known_id=known_id)
    assert claim == Claim(is_claimed=False, lease_remaining_seconds=None)
    claim = await summaries.claim("Answer 2")
    assert claim is not None
    assert claim.is_claimed


@pytest.mark.parametrize("change", ["is_mistake = TRUE", "mistake_note = 'No.'"])
async def test_a_summary_is_deleted_when_one_of_its_messages_is_marked(
    summaries: Summaries, rows: Rows, change: str
) -> None:
    await summaries.make("Answer 1")
    await summaries.make("Answer 2")

    rows.run(f"UPDATE chat_messages SET {change} WHERE content = 'Answer 2'")

    assert len(summaries.stored) == 1
