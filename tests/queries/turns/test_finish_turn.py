"""finish_turn."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.turns import FIRST_TITLE, LEASE_SECONDS, Turns


async def test_finish_turn_stores_the_answer_with_its_columns_and_frees_the_turn(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
    began_at = turns.now
    turns.wait(seconds=3)

    [stored] = await turns.finish(begun, "Hello, how are you?")

    assert stored.created_at == turns.now
    columns = "id, user_id, role, content, reply_to, finish_reason, model_name"
    counts = "prompt_tokens, completion_tokens, created_at, updated_at"
    assert rows.run(
        f"SELECT {columns}, {counts} FROM chat_messages WHERE message_id = 'answer-1'"
    ) == [
        (stored.id, "ada", "assistant", "Hello, how are you?", begun.question.id, "stop",
         "test-model", 7, 4, turns.now, turns.now),
    ]  # fmt: skip
    turn = "turn_id, turn_message_id, turn_expires_at, updated_at"
    assert rows.run(f"SELECT {turn} FROM conversations") == [(None, None, None, began_at)]


async def test_finish_turn_sent_twice_returns_the_stored_answer(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin()
    first = await turns.finish(begun)
    turns.wait(seconds=1)

    assert await turns.finish(begun) == first
    assert rows.current(turns.conversation_id) == ["Hello!", "Hello, how are you?"]


async def test_a_providers_state_is_read_by_the_next_turn_as_it_was_written(
    turns: Turns, rows: Rows
) -> None:
    # jsonb would sort the names, shorten the number, and refuse both characters.
    state = '{"steps":[{"z":1.10,"a":"\\u0000\\ud83d","z2":1e3}],"model":"m"}'
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun, provider_state=state)

    again = await turns.begin("And?", message_id="question-2", user_id="ada")

    assert rows.run("SELECT provider_state::text FROM chat_messages WHERE role = 'assistant'") == [
        (state,)
    ]
    told = [message.provider_state for message in again.messages]
    assert told == [None, json.loads(state), None]
    assert [*(told[1] or {})["steps"][0]] == ["z", "a", "z2"]


async def test_finish_turn_stores_the_title_and_returns_it_when_sent_twice(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()

    [first] = await turns.finish(begun, title="Greetings")

    assert first.title == "Greetings"
    assert await turns.finish(begun, title="Greetings") == [first]
    assert rows.run("SELECT title FROM conversations") == [("Greetings",)]


async def test_without_a_title_the_conversation_keeps_its_own(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin()

    [stored] = await turns.finish(begun)

    assert stored.title == FIRST_TITLE
    assert rows.run("SELECT title FROM conversations") == [(FIRST_TITLE,)]


@pytest.mark.parametrize("own", ["My own", None])
async def test_a_title_that_the_user_chose_is_never_replaced(
    turns: Turns, rows: Rows, own: str | None
) -> None:
    begun = await turns.begin()
    rows.run("UPDATE conversations SET title = %s", own)

    [stored] = await turns.finish(begun, title="Greetings")

    assert stored.title == own
    assert rows.run("SELECT title FROM conversations") == [(own,)]


async def test_an_attempt_that_lost_the_turn_stores_no_answer(turns: Turns, rows: Rows) -> None:
    late = await turns.begin()
    await turns.release(late)
    again = await turns.begin()

    assert await turns.finish(late, "Too late", title="Too late") == []
    assert rows.run("SELECT turn_id, title FROM conversations") == [(again.turn_id, FIRST_TITLE)]
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_an_attempt_past_its_lease_stores_its_answer_if_no_other_took_the_turn(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS + 1)

    assert await turns.finish(begun)
    assert rows.current(turns.conversation_id) == ["Hello!", "Hello, how are you?"]


async def test_no_answer_is_stored_in_a_deleted_conversation(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin()
    rows.run("DELETE FROM conversations")

    assert await turns.finish(begun) == []
    assert rows.current(turns.conversation_id) == []


async def test_another_callers_answer_is_not_returned(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun)
    intruder = await turns.begin(user_id="eve", conversation_id=uuid4())

    forged = replace(intruder, conversation_id=begun.conversation_id)

    assert await turns.finish(forged) == []


async def test_a_second_current_answer_to_a_question_violates_a_constraint(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    second = """
        INSERT INTO chat_messages (conversation_id, role, content, reply_to)
        SELECT conversation_id, 'assistant', 'Another', reply_to
        FROM chat_messages WHERE reply_to IS NOT NULL
    """

    with pytest.raises(psycopg.errors.UniqueViolation, match="uq_chat_messages_reply_to"):
        rows.run(second)


async def test_a_second_current_message_with_an_id_violates_a_constraint(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    second = """
        INSERT INTO chat_messages (conversation_id, role, content, message_id)
        SELECT conversation_id, role, 'Another', message_id FROM chat_messages
    """

    with pytest.raises(psycopg.errors.UniqueViolation, match="uq_chat_messages_message_id"):
        rows.run(second)


async def test_the_answers_style_and_analysis_are_stored(turns: Turns, rows: Rows) -> None:
    columns: dict[str, Any] = {
        "persona": "guide",
        "tone": "casual",
        "behavior": "cautious",
        "context_type": "code",
        "signal_strength": 0.25,
        "context_clarity": False,
        "needs_knowledge": True,
    }

    await turns.finish(await turns.begin(), **columns)

    stored = f"SELECT {', '.join(columns)} FROM chat_messages WHERE message_id = 'answer-1'"
    assert rows.run(stored) == [tuple(columns.values())]


async def test_unknown_columns_of_an_answer_are_null_and_needs_knowledge_is_false(
    turns: Turns, rows: Rows
) -> None:
    await turns.finish(await turns.begin())

    columns = "tool_calls, persona, tone, context_type, context_clarity, needs_knowledge"
    assert rows.run(f"SELECT {columns} FROM chat_messages WHERE message_id = 'answer-1'") == [
        (None, None, None, None, None, False)
    ]


async def test_the_answers_tool_calls_are_stored(turns: Turns, rows: Rows) -> None:
    calls = [{"id": "call-1", "name": "add_task", "step": 0, "text_end": 0}]

    await turns.finish(await turns.begin(user_id="ada"), tool_calls=json.dumps(calls))

    assert rows.run("SELECT tool_calls FROM chat_messages WHERE role = 'assistant'") == [(calls,)]
