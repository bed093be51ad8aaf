"""claim_conversation: a claim takes all rows of a conversation at once, or none."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from psycopg.errors import UniqueViolation

from lib.conversations.changes import CLAIM_CONVERSATION, Claim, claim_conversation
from lib.conversations.conversation import LOCK_CONVERSATION
from lib.database.acting import REMEMBER_USER, act_as
from lib.identity.callers import Caller
from lib.problems import NotFound
from tests.support.steps.rows import Rows
from tests.support.steps.streams import Streams
from tests.support.steps.turns import LEASE_SECONDS, NOON, Turns

OWNERS = "SELECT user_id FROM conversations UNION SELECT user_id FROM chat_messages"


async def test_a_claim_takes_all_messages_of_the_conversation_replaced_ones_too(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    edited = await turns.begin("Better put", message_id="question-1")
    await turns.finish(edited, answer_message_id="answer-2")
    rows.run(
        "INSERT INTO chat_messages (conversation_id, role, content) VALUES (%s, 'system', 'Hm.')",
        turns.conversation_id,
    )
    before = rows.all(turns.conversation_id)
    turns.wait(days=1)

    assert await _claim(turns) == [Claim(is_claimed=True, lease_remaining_seconds=None)]

    assert rows.run(OWNERS) == [("ada",)]
    assert rows.all(turns.conversation_id) == before
    assert len(before) == 5
    assert rows.run("SELECT updated_at FROM conversations") == [(NOON,)]


async def test_a_claim_takes_no_other_conversation(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await turns.exchange(1, conversation_id=uuid4())

    await _claim(turns)

    counts = "SELECT user_id, count(*) FROM chat_messages GROUP BY user_id ORDER BY user_id"
    assert rows.run(counts) == [("ada", 2), (None, 2)]


async def test_an_owned_conversation_is_not_claimed(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await _claim(turns)

    assert await _claim(turns, "eve") == []
    assert await _claim(turns, "ada") == []

    assert rows.run(OWNERS) == [("ada",)]


@pytest.mark.parametrize(("seconds", "remaining"), [(0, 60), (59, 1)])
async def test_a_conversation_is_not_claimed_while_an_answer_is_being_made(
    turns: Turns, rows: Rows, seconds: float, remaining: float
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=seconds)

    assert await _claim(turns) == [Claim(is_claimed=False, lease_remaining_seconds=remaining)]

    assert rows.run(OWNERS) == [(None,)]
    assert await turns.finish(begun)


@pytest.mark.parametrize("is_released", [False, True])
async def test_a_released_or_lapsed_turn_does_not_prevent_a_claim(
    turns: Turns, rows: Rows, *, is_released: bool
) -> None:
    begun = await turns.begin()
    if is_released:
        await turns.release(begun)
    else:
        turns.wait(seconds=LEASE_SECONDS)

    [claim] = await _claim(turns)

    assert claim.is_claimed
    assert rows.run(OWNERS) == [("ada",)]
    # The attempt does not know the new owner, and stores nothing.
    assert await turns.finish(begun) == []


async def test_a_claim_takes_an_unfinished_answer_which_its_new_owner_recovers(
    turns: Turns, streams: Streams
) -> None:
    begun = await turns.begin()
    await streams.store(begun, "abc")
    other = await turns.begin(conversation_id=uuid4())
    await streams.store(other, "xyz")
    turns.wait(seconds=LEASE_SECONDS)

    [claim] = await _claim(turns)

    assert claim.is_claimed
    assert [row.parts for row in await streams.read(user_id="ada")] == ["abc"]
    assert await streams.read() == []
    assert await streams.read(conversation_id=other.conversation_id)
    assert [left.parts for left in await streams.find_left(begun, "ada")] == ["abc"]
    assert (await turns.begin("And?", message_id="question-2", user_id="ada")).verdict == "lapsed"
    assert await turns.finish(replace(begun, user_id="ada"), finish_reason="interrupted")


async def test_a_claim_takes_the_stream_of_the_last_answer(turns: Turns, streams: Streams) -> None:
    await turns.finish(await turns.begin(), parts="abc")

    await _claim(turns)

    assert [row.parts for row in await streams.read(user_id="ada")] == ["abc"]
    assert await streams.read() == []


@pytest.mark.parametrize(("retention_days", "is_there"), [(29, False), (30, True), (0, True)])
async def test_an_expired_conversation_is_not_claimed(
    turns: Turns, retention_days: int, *, is_there: bool
) -> None:
    await turns.exchange(1)
    turns.wait(days=30)

    assert bool(await _claim(turns, retention_days=retention_days)) is is_there


async def test_a_claim_takes_an_answer_that_is_being_stored_at_that_moment(
    turns: Turns, rows: Rows
) -> None:
    # Without the lock, the claim would use a snapshot from before the wait.
    turns.now = datetime.now(UTC)
    finish = turns.finish_call(await turns.begin(), "Hello, how are you?")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        claiming = asyncio.create_task(
            claim_conversation(turns.database, Caller("ada"), turns.conversation_id)
        )
        await rows.until_waiting(1)

    claimed = await claiming
    assert (claimed.message_count, claimed.last_message) == (2, "Hello, how are you?")
    assert rows.run("SELECT user_id FROM chat_messages") == [("ada",), ("ada",)]


async def test_of_many_claims_at_once_one_gets_the_complete_conversation(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    names = [f"user-{number}" for number in range(20)]

    claims = await asyncio.gather(*[_claim(turns, name) for name in names])

    assert Counter(map(len, claims)) == {0: 19, 1: 1}
    winner = names[[len(claim) for claim in claims].index(1)]
    assert rows.run(OWNERS) == [(winner,)]


async def test_claims_and_turns_at_once_leave_no_message_without_its_owner(
    turns: Turns, rows: Rows
) -> None:
    for _ in range(15):
        conversation_id = uuid4()
        answered = await turns.begin(conversation_id=conversation_id)

        claims, stored, begun, later_claims = await asyncio.gather(
            _claim(turns, conversation_id=conversation_id),
            turns.finish(answered),
            _begin_or_be_late(turns, conversation_id),
            _claim(turns, conversation_id=conversation_id),
        )

        assert stored
        owners = rows.run(
            "SELECT DISTINCT user_id FROM chat_messages WHERE conversation_id = %s "
            "UNION SELECT user_id FROM conversations WHERE id = %s",
            conversation_id,
            conversation_id,
        )
        is_claimed = any(claim.is_claimed for claim in claims + later_claims)
        assert owners == [("ada" if is_claimed else None,)]
        assert not (is_claimed and begun == "taken")


async def _begin_or_be_late(turns: Turns, conversation_id: UUID) -> str:
    """Send another message as an anonymous caller, who does not reach a claimed conversation."""
    try:
        begun = await turns.begin("And?", message_id="question-2", conversation_id=conversation_id)
    except (UniqueViolation, NotFound):
        return "not theirs"
    return begun.verdict


async def _claim(
    turns: Turns,
    user_id: str = "ada",
    *,
    conversation_id: UUID | None = None,
    retention_days: int = 0,
) -> list[Claim]:
    """Run the step of `lib.conversations.changes.claim_conversation`."""
    claimed_id = conversation_id or turns.conversation_id
    _, _, _, claims = await turns.database.run(
        act_as(Caller(user_id), claimed_id),
        REMEMBER_USER(user_id=user_id, user_email=None, user_name=None, token_issued_at=None),
        LOCK_CONVERSATION(conversation_id=claimed_id, user_id=None),
        CLAIM_CONVERSATION(
            conversation_id=claimed_id,
            user_id=user_id,
            retention_days=retention_days,
            now=turns.now,
        ),
    )
    return claims
