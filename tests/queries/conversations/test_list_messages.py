"""list_messages."""

from typing import Any

import pytest

from lib.conversations.history import LIST_MESSAGES
from lib.conversations.message import Message
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, contents


async def test_a_page_of_messages_ends_with_the_newest_and_the_next_page_continues_before_it(
    turns: Turns,
) -> None:
    for number in range(1, 4):
        await turns.exchange(number)

    first = await _list(turns, page_size=4)
    second = await _list(turns, page_size=4, cursor_id=first[-1].id)

    assert contents(first) == ["Answer 3", "Question 3", "Answer 2", "Question 2"]
    assert contents(second) == ["Answer 1", "Question 1"]


async def test_a_listed_message_has_all_its_columns(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("""
        UPDATE chat_messages SET
            tool_calls = '[{"name": "add_task"}]', metadata = '{"a": 1}', persona = 'guide',
            tone = 'casual', behavior = 'cautious', context_type = 'code', confidence = 0.5,
            signal_strength = 0.25, context_clarity = TRUE, needs_knowledge = TRUE,
            is_mistake = TRUE, mistake_note = 'wrong'
    """)

    [answer, question] = await _list(turns)

    assert answer == Message(
        id=answer.id, conversation_id=turns.conversation_id, message_id="answer-1",
        role="assistant", content="Answer 1", reply_to=question.id, finish_reason="stop",
        model_name="test-model", prompt_tokens=7, completion_tokens=4,
        tool_calls=[{"name": "add_task"}], metadata={"a": 1}, persona="guide", tone="casual",
        behavior="cautious", context_type="code", confidence=0.5, signal_strength=0.25,
        context_clarity=True, needs_knowledge=True, is_mistake=True, mistake_note="wrong",
        created_at=turns.now, updated_at=turns.now,
    )  # fmt: skip


async def test_replaced_messages_are_listed_only_when_asked_for(turns: Turns) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert contents(await _list(turns)) == ["Better put"]
    everything = await _list(turns, include_superseded=True)
    assert contents(everything) == ["Better put", "Answer 1", "Question 1"]
    assert [message.superseded_at for message in everything] == [None, turns.now, turns.now]


async def test_system_messages_are_listed_only_when_asked_for(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("UPDATE chat_messages SET role = 'system', reply_to = NULL WHERE reply_to > 0")

    assert contents(await _list(turns)) == ["Question 1"]
    assert contents(await _list(turns, include_system=True)) == ["Answer 1", "Question 1"]


async def test_expired_messages_are_not_listed_though_they_are_not_deleted_yet(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=30, seconds=1)
    await turns.exchange(2)

    assert contents(await _list(turns, retention_days=30)) == ["Answer 2", "Question 2"]
    assert len(await _list(turns, retention_days=31)) == 4
    assert len(await _list(turns, retention_days=0)) == 4


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_messages_are_not_listed(
    turns: Turns, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert len(await _list(turns, user_id=owner)) == 2
    assert await _list(turns, user_id=intruder) == []


async def _list(turns: Turns, **parameters: Any) -> list[Message]:
    defaults = {
        "conversation_id": turns.conversation_id,
        "user_id": None,
        "include_superseded": False,
        "include_system": False,
        "retention_days": 0,
        "cursor_id": None,
        "page_size": 50,
        "now": turns.now,
    }
    return await turns.database.run(LIST_MESSAGES(**defaults | parameters))
