"""read_history."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from lib.conversations.conversation import Conversation
from lib.conversations.history import READ_HISTORY, HistoryRow
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, contents


async def test_a_page_of_messages_ends_with_the_newest_and_the_next_page_continues_before_it(
    turns: Turns,
) -> None:
    for number in range(1, 4):
        await turns.exchange(number)

    first = await _read(turns, page_size=4)
    second = await _read(turns, page_size=4, cursor_id=first[-1].id)

    assert contents(first) == ["Answer 3", "Question 3", "Answer 2", "Question 2"]
    assert contents(second) == ["Answer 1", "Question 1"]


async def test_a_message_of_history_has_all_its_columns(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("""
        UPDATE chat_messages SET
            tool_calls = '[{"name": "add_task"}]', metadata = '{"a": 1}', persona = 'guide',
            tone = 'casual', behavior = 'cautious', context_type = 'code', confidence = 0.5,
            signal_strength = 0.25, context_clarity = TRUE, needs_knowledge = TRUE,
            is_mistake = TRUE, mistake_note = 'wrong', model = 'Fast', requested_model = 'Deep',
            cached_tokens = 3
    """)
    rows.run("UPDATE conversations SET model = 'Deep'")

    [answer, question] = await _read(turns)

    assert answer == HistoryRow(
        id=answer.id, conversation_id=turns.conversation_id, message_id="answer-1",
        role="assistant", content="Answer 1", reply_to=question.id, finish_reason="stop",
        model_name="test-model", prompt_tokens=7, completion_tokens=4,
        tool_calls=[{"name": "add_task"}], metadata={"a": 1}, persona="guide", tone="casual",
        behavior="cautious", context_type="code", confidence=0.5, signal_strength=0.25,
        context_clarity=True, needs_knowledge=True, is_mistake=True, mistake_note="wrong",
        created_at=turns.now, updated_at=turns.now, model="Fast", requested_model="Deep",
        cached_tokens=3, has_message=True, title="A title", status="active",
        conversation_created_at=turns.now, conversation_updated_at=turns.now,
        conversation_model="Deep",
    )  # fmt: skip


async def test_replaced_messages_are_shown_only_when_asked_for(turns: Turns) -> None:
    await turns.exchange(1)
    await turns.begin("Better put")

    assert contents(await _read(turns)) == ["Better put"]
    everything = await _read(turns, include_superseded=True)
    assert contents(everything) == ["Better put", "Answer 1", "Question 1"]
    assert [message.superseded_at for message in everything] == [None, turns.now, turns.now]


async def test_system_messages_are_shown_only_when_asked_for(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("UPDATE chat_messages SET role = 'system', reply_to = NULL WHERE reply_to > 0")

    assert contents(await _read(turns)) == ["Question 1"]
    assert contents(await _read(turns, include_system=True)) == ["Answer 1", "Question 1"]


async def test_expired_messages_are_not_shown_though_they_are_not_deleted_yet(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=30, seconds=1)
    await turns.exchange(2)

    assert contents(await _read(turns, retention_days=30)) == ["Answer 2", "Question 2"]
    assert len(await _read(turns, retention_days=31)) == 4
    assert len(await _read(turns, retention_days=0)) == 4


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), ("ada", None), (None, "eve")])
async def test_another_callers_conversation_has_no_history(
    turns: Turns, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)

    assert len(await _read(turns, user_id=owner)) == 2
    assert await _read(turns, user_id=intruder) == []


async def test_a_message_of_another_owner_is_not_shown_even_in_the_callers_conversation(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run("INSERT INTO users (id) VALUES ('eve')")
    rows.run("UPDATE chat_messages SET user_id = 'eve' WHERE role = 'assistant'")

    assert contents(await _read(turns, user_id="ada")) == ["Question 1"]


async def test_each_message_of_history_has_its_conversation_beside_it(turns: Turns) -> None:
    began = turns.now
    await turns.exchange(1)
    turns.wait(days=1)
    await turns.exchange(2)

    conversation = Conversation(
        id=turns.conversation_id,
        title="A title",
        status="active",
        created_at=began,
        updated_at=turns.now,
        model=None,
    )
    assert [row.conversation for row in await _read(turns)] == [conversation] * 4


async def test_an_empty_page_of_history_is_the_conversation_alone(turns: Turns) -> None:
    await turns.exchange(1)
    [*_, oldest] = await _read(turns)

    [row] = await _read(turns, cursor_id=oldest.id)

    assert (row.has_message, row.conversation) == (False, oldest.conversation)


async def test_a_conversation_that_is_not_there_has_no_history(turns: Turns) -> None:
    await turns.exchange(1)

    assert await _read(turns, conversation_id=uuid4()) == []


async def test_a_conversation_that_was_not_used_for_the_retention_period_has_no_history(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    later = turns.now + timedelta(days=31)

    assert await _read(turns, retention_days=30, now=later) == []
    assert len(await _read(turns, retention_days=32, now=later)) == 2
    assert len(await _read(turns, retention_days=0, now=later)) == 2


async def test_history_does_not_show_a_title_that_has_expired(turns: Turns) -> None:
    await turns.exchange(1)
    turns.wait(days=31)
    await turns.exchange(2)
    later = turns.now + timedelta(days=1)

    assert [row.title for row in await _read(turns, retention_days=0)] == ["A title"] * 4
    [row, _] = await _read(turns, retention_days=30, now=later)
    assert row.title is None


async def _read(turns: Turns, **parameters: Any) -> list[HistoryRow]:
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
    return await turns.database.run(READ_HISTORY(**defaults | parameters))
