"""begin_turn: many at once. A request that waited for another sees the rows of that one."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.database.acting import NO_WALL
from lib.database.statements import Call
from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.problems import NotFound, TurnInProgress
from lib.settings import settings
from lib.turns.begin import BEGIN_TURN, begin_turn
from lib.turns.finish import StoredAnswer
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn
from tests.support.steps.rows import Rows
from tests.support.steps.turns import LEASE_SECONDS, Turns

ADA = Caller("ada")
MANY = 40


async def test_forty_first_sends_of_one_message_take_one_turn(turns: Turns, rows: Rows) -> None:
    sends = [_send(turns, "Hello!", "question-1") for _ in range(MANY)]

    verdicts = Counter([turn.verdict for turn in await asyncio.gather(*sends)])

    assert verdicts == {"taken": 1, "being_answered": MANY - 1}
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_of_forty_different_first_messages_one_takes_the_turn_and_the_others_must_wait(
    turns: Turns, rows: Rows
) -> None:
    sends = [_send(turns, f"Hello {n}!", f"question-{n}") for n in range(MANY)]

    ends = Counter([type(end) for end in await asyncio.gather(*sends, return_exceptions=True)])

    assert ends == {Turn: 1, TurnInProgress: MANY - 1}
    assert len(rows.current(turns.conversation_id)) == 1


@pytest.mark.parametrize(
    ("message_id", "verdict"), [("question-1", "being_answered"), ("question-2", None)]
)
async def test_a_request_that_meets_a_conversation_being_created_waits_and_then_decides(
    turns: Turns, rows: Rows, message_id: str, verdict: str | None
) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")
    first = _begin_call(turns.conversation_id)
    async with rows.uncommitted(first.statement.sql, first.parameters):
        second = asyncio.create_task(_send(turns, "Hello!", message_id))
        await rows.until_waiting(1)
        assert not second.done()

    if verdict is None:
        with pytest.raises(TurnInProgress):
            await second
    else:
        assert (await second).verdict == verdict
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_a_first_message_sent_twice_at_once_is_not_refused_for_the_quota_that_it_used(
    turns: Turns, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGES_PER_MINUTE", "1")
    settings.cache_clear()
    rows.run("INSERT INTO users (id) VALUES ('ada')")
    first = _begin_call(turns.conversation_id)
    subject = hashed("user", "ada")
    limits = {name: [0] for name in ("messages_per_day", "bytes_per_day", "tokens_per_day")}
    counted = {"quota_subjects": [subject], "messages_per_minute": [1], **limits}
    async with rows.uncommitted(first.statement.sql, first.parameters | counted):
        second = asyncio.create_task(_send(turns, "Hello!", "question-1"))
        await rows.until_waiting(1)

    assert (await second).verdict == "being_answered"


async def test_a_conversation_that_another_user_is_creating_is_not_found(
    turns: Turns, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada')")
    first = _begin_call(turns.conversation_id)
    async with rows.uncommitted(first.statement.sql, first.parameters):
        second = asyncio.create_task(_send(turns, "Hello!", "question-1", Caller("eve")))
        await rows.until_waiting(1)

    with pytest.raises(NotFound):
        await second


@pytest.mark.parametrize("seconds", [1, LEASE_SECONDS + 1])
async def test_forty_requests_that_waited_for_the_answer_to_be_stored_return_it(
    turns: Turns, rows: Rows, seconds: float
) -> None:
    # The trap: a statement that waits for a lock goes on with the snapshot from before it waited.
    # A lease that has ended looks free in it, and the question unanswered.
    begun = await turns.begin()
    turns.wait(seconds=seconds)
    finish = turns.finish_call(begun, "Hello, how are you?")
    async with rows.uncommitted(finish.statement.sql, finish.parameters):
        sends = [asyncio.create_task(_verdict(turns)) for _ in range(MANY)]
        await rows.until_waiting(MANY)

    assert Counter(await asyncio.gather(*sends)) == {"answered": MANY}
    assert rows.all(turns.conversation_id) == [("Hello!", True), ("Hello, how are you?", True)]


async def test_forty_sends_around_the_end_of_a_turn_ask_the_model_once(
    turns: Turns, rows: Rows
) -> None:
    for number in range(5):
        conversation_id = uuid4()
        begun = await turns.begin(conversation_id=conversation_id)
        turns.wait(seconds=LEASE_SECONDS - 1)
        calls = [_verdict(turns, conversation_id) for _ in range(MANY)]
        calls.insert(MANY // 2, _stored(turns.finish(begun, answer_message_id=f"answer-{number}")))

        verdicts = set(await asyncio.gather(*calls))

        assert verdicts <= {"being_answered", "answered", "stored"}
        assert rows.current(conversation_id) == ["Hello!", "Hello, how are you?"]


async def _send(turns: Turns, text: str, message_id: str, caller: Caller = ADA) -> Turn:
    """Send a message as `lib` does."""
    request = ChatRequest(message_id=message_id, text=text, wants_stream=False)
    return await begin_turn(
        turns.database,
        caller,
        turns.conversation_id,
        request,
        turn_id=uuid4(),
        deadline=time.monotonic() + LEASE_SECONDS,
    )


async def _verdict(turns: Turns, conversation_id: UUID | None = None) -> str:
    return (await turns.begin(conversation_id=conversation_id)).verdict


async def _stored(finishing: Awaitable[list[StoredAnswer]]) -> str:
    return "stored" if await finishing else "lost"


def _begin_call(conversation_id: UUID) -> Call[Any]:
    return BEGIN_TURN(
        **NO_WALL,
        user_email=None,
        user_name=None,
        conversation_id=conversation_id,
        user_id="ada",
        message_id="question-1",
        content="Hello!",
        files=None,
        steps=None,
        file_bytes=0,
        metadata=None,
        replaced_message_id=None,
        regenerates=False,
        answer_message_id=None,
        title="Hello!",
        turn_id=uuid4(),
        lease_seconds=LEASE_SECONDS,
        takes_turn=True,
        max_messages=1000,
        model=None,
        models=["test-model"],
        model_subjects=[""],
        model_messages_per_day=[0],
        persona=None,
        tone=None,
        behavior=None,
        quota_subjects=[],
        messages_per_minute=[],
        messages_per_day=[],
        bytes_per_day=[],
        tokens_per_day=[],
        retention_days=0,
        now=None,
    )
