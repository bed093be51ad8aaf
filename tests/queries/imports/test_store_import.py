"""store_import: only the end of a conversation grows, and nothing waits for what others hold."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from lib.conversations.changes import delete_conversations
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.imports.storing import store_import
from tests.support.imports import TEXTS, chatgpt_of, counts, lines_of, reasons
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

ANN = Caller("ann")
CURRENT = "SELECT content FROM chat_messages WHERE superseded_at IS NULL ORDER BY id"
# The question of each answer.
ANSWERED = """
    SELECT question.content
    FROM chat_messages AS answer
    JOIN chat_messages AS question ON question.id = answer.reply_to
    ORDER BY answer.id
"""


async def store(pool: Database, *entries: dict[str, Any], caller: Caller = ANN) -> dict[str, Any]:
    """Import conversations of ChatGPT."""
    return await store_import(pool, caller, "chatgpt", lines_of(entries))


def conversation_id(rows: Rows) -> UUID:
    """Return the id of the only conversation."""
    [(found,)] = rows.run("SELECT id::text FROM conversations")
    return UUID(str(found))


def texts(rows: Rows) -> list[str]:
    """Return the current messages in their order."""
    return [str(content) for (content,) in rows.run(CURRENT)]


async def test_a_later_export_adds_what_has_come_since(pool: Database, rows: Rows) -> None:
    await store(pool, chatgpt_of(TEXTS[:2]))

    report = await store(pool, chatgpt_of(TEXTS))

    assert report["messages"] == counts(2, 2)
    assert texts(rows) == [*TEXTS]
    # The answer that has come is that of the question that has come.
    assert rows.run(ANSWERED) == [(TEXTS[0],), (TEXTS[2],)]


async def test_an_answer_that_has_come_since_is_that_of_the_stored_question(
    pool: Database, rows: Rows
) -> None:
    await store(pool, chatgpt_of(TEXTS[:3]))

    await store(pool, chatgpt_of(TEXTS))

    assert rows.run(ANSWERED) == [(TEXTS[0],), (TEXTS[2],)]


async def test_nothing_is_added_where_the_conversation_has_gone_on_here(
    pool: Database, rows: Rows, turns: Turns
) -> None:
    await store(pool, chatgpt_of(TEXTS[:2]))
    begun = await turns.begin(
        "Here", message_id="here", user_id="ann", conversation_id=conversation_id(rows)
    )
    await turns.finish(begun, answer_message_id="answer-here", content="Hm.")

    report = await store(pool, chatgpt_of(TEXTS))

    assert reasons(report) == {("message", "later_messages"): 2}
    assert texts(rows) == [*TEXTS[:2], "Here", "Hm."]


async def test_nothing_is_added_before_what_is_stored(pool: Database, rows: Rows) -> None:
    whole = chatgpt_of(TEXTS)
    end = whole | {"mapping": {name: whole["mapping"][name] for name in ("n3", "n4")}}
    await store(pool, end)

    report = await store(pool, whole)

    assert reasons(report) == {("message", "later_messages"): 2}
    assert texts(rows) == [*TEXTS[2:]]
    begin = {"mapping": {name: whole["mapping"][name] for name in ("n1", "n2")}}
    report = await store(pool, whole | begin | {"current_node": "n2"})
    assert reasons(report) == {("message", "later_messages"): 2}


async def test_a_conversation_that_another_session_holds_is_not_waited_for(
    pool: Database, rows: Rows
) -> None:
    await store(pool, chatgpt_of(TEXTS[:2]), chatgpt_of(TEXTS[:2], conversation_id="c2"))
    held = "UPDATE conversations SET status = 'archived' WHERE title = 'Held'"
    first = "SELECT id FROM conversations ORDER BY id LIMIT 1"
    rows.run(f"UPDATE conversations SET title = 'Held' WHERE id = ({first})")

    async with rows.uncommitted(held, {}):
        report = await store(pool, chatgpt_of(TEXTS), chatgpt_of(TEXTS, conversation_id="c2"))

    assert report["messages"] == counts(2, 4, 2)
    assert reasons(report) == {("message", "turn_in_progress"): 2}


@pytest.mark.parametrize("_round", range(3))
async def test_imports_and_a_deletion_of_everything_at_once_end_without_a_deadlock(
    pool: Database, rows: Rows, _round: int
) -> None:
    entries = [chatgpt_of(TEXTS, conversation_id=f"c{n}") for n in range(30)]
    await store(pool, *(chatgpt_of(TEXTS[:2], conversation_id=f"c{n}") for n in range(0, 30, 2)))

    await asyncio.gather(
        store(pool, *entries),
        delete_conversations(pool, ANN),
        store(pool, *reversed(entries)),
        delete_conversations(pool, ANN),
    )

    wrong = """
        SELECT id FROM conversations
        WHERE message_count IS DISTINCT FROM (
            SELECT count(*) FROM chat_messages WHERE conversation_id = conversations.id
        )
    """
    assert rows.run(wrong) == []


async def test_an_archived_conversation_and_titles_come_along(pool: Database, rows: Rows) -> None:
    await store(
        pool,
        chatgpt_of(TEXTS, is_archived=True, title=" Ripe\n\0 plums "),
        chatgpt_of(TEXTS, conversation_id="c2", title="T" * 300),
        chatgpt_of(TEXTS, conversation_id="c3", title=None),
    )

    stored = rows.run("SELECT status, title FROM conversations ORDER BY title")
    assert stored == [
        ("active", TEXTS[0]),
        ("archived", "Ripe plums"),
        ("active", "T" * 254 + "…"),
    ]
