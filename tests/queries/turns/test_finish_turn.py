"""finish_turn."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.turns import FIRST_TITLE, LEASE_SECONDS, Turns


async def test_the_answer_is_stored_with_what_is_known_of_it_and_the_turn_is_free(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(user_id="ada")
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
    assert rows.run(f"SELECT {turn} FROM conversations") == [(None, None, None, turns.now)]


async def test_sent_again_it_finds_what_it_stored(turns: Turns, rows: Rows) -> None:
    begun = await turns.begin()
    first = await turns.finish(begun)
    turns.wait(seconds=1)

    assert await turns.finish(begun) == first
    assert rows.said(turns.conversation_id) == ["Hello!", "Hello, how are you?"]


async def test_the_title_is_stored_with_the_answer_and_found_when_it_is_sent_again(
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
async def test_a_title_that_is_not_the_automatic_one_is_never_changed(
    turns: Turns, rows: Rows, own: str | None
) -> None:
    begun = await turns.begin()
    rows.run("UPDATE conversations SET title = %s", own)

    [stored] = await turns.finish(begun, title="Greetings")

    assert stored.title == own
    assert rows.run("SELECT title FROM conversations") == [(own,)]


async def test_who_lost_the_turn_to_another_attempt_stores_nothing(
    turns: Turns, rows: Rows
) -> None:
    late = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS)
    again = await turns.begin()

    assert await turns.finish(late, "Too late", title="Too late") == []
    assert rows.run("SELECT turn_id, title FROM conversations") == [(again.turn_id, FIRST_TITLE)]
    assert rows.said(turns.conversation_id) == ["Hello!"]


async def test_who_is_late_but_undisturbed_still_stores_the_answer(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()
    turns.wait(seconds=LEASE_SECONDS + 1)

    assert await turns.finish(begun)
    assert rows.said(turns.conversation_id) == ["Hello!", "Hello, how are you?"]


async def test_in_a_conversation_that_was_deleted_meanwhile_nothing_is_stored(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin()
    rows.run("DELETE FROM conversations")

    assert await turns.finish(begun) == []
    assert rows.said(turns.conversation_id) == []


async def test_without_the_turn_an_answer_of_somebody_elses_is_not_found(turns: Turns) -> None:
    begun = await turns.begin(user_id="ada")
    await turns.finish(begun)
    intruder = await turns.begin(user_id="eve", conversation_id=uuid4())

    forged = replace(intruder, conversation_id=begun.conversation_id)

    assert await turns.finish(forged) == []


async def test_a_question_has_one_current_answer_whatever_else_goes_wrong(
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


async def test_an_id_names_one_current_message_whatever_else_goes_wrong(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    second = """
        INSERT INTO chat_messages (conversation_id, role, content, message_id)
        SELECT conversation_id, role, 'Another', message_id FROM chat_messages
    """

    with pytest.raises(psycopg.errors.UniqueViolation, match="uq_chat_messages_message_id"):
        rows.run(second)


async def test_how_the_answer_was_to_be_and_what_the_analysis_says_is_stored(
    turns: Turns, rows: Rows
) -> None:
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


async def test_what_is_not_known_is_null_but_no_knowledge_was_needed(
    turns: Turns, rows: Rows
) -> None:
    await turns.finish(await turns.begin())

    columns = "tool_calls, persona, tone, context_type, context_clarity, needs_knowledge"
    assert rows.run(f"SELECT {columns} FROM chat_messages WHERE message_id = 'answer-1'") == [
        (None, None, None, None, None, False)
    ]


async def test_the_tools_that_were_called_are_stored_with_the_answer(
    turns: Turns, rows: Rows
) -> None:
    calls = [{"id": "call-1", "name": "add_task", "step": 0, "text_end": 0}]

    await turns.finish(await turns.begin(user_id="ada"), tool_calls=json.dumps(calls))

    assert rows.run("SELECT tool_calls FROM chat_messages WHERE role = 'assistant'") == [(calls,)]
