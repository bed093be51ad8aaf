"""find_conversation_summary, and list_conversations, which returns the same columns."""

from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib.conversations.changes import FIND_CONVERSATION_SUMMARY
from lib.conversations.listing import LIST_CONVERSATIONS, ConversationDetails, ConversationSummary
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, Turns, act_as

ADD = """
    INSERT INTO chat_messages (conversation_id, user_id, role, content, superseded_at, created_at)
    VALUES (%s, 'ada', %s, %s, %s, %s)
"""


async def test_a_summary_has_the_message_count_and_the_last_message(
    turns: Turns,
) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(seconds=30)
    await turns.exchange(2, user_id="ada")

    assert await _summaries(turns) == [
        ConversationDetails(
            id=turns.conversation_id,
            title="A title",
            status="active",
            created_at=NOON,
            updated_at=turns.now,
            model=None,
            message_count=4,
            last_message="Answer 2",
            instructions=None,
        )
    ]


async def test_a_summarys_last_message_may_be_an_unanswered_question(turns: Turns) -> None:
    await turns.begin("Anybody there?", user_id="ada")

    assert await _told(turns) == (1, "Anybody there?")


async def test_a_summary_ignores_replaced_and_system_messages(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run(ADD, turns.conversation_id, "system", "Be brief.", None, turns.now)
    rows.run(ADD, turns.conversation_id, "assistant", "Replaced", turns.now, turns.now)

    assert await _told(turns) == (2, "Answer 1")


async def test_a_summary_ignores_the_messages_that_an_edit_replaced(turns: Turns) -> None:
    await turns.exchange(1, user_id="ada")
    await turns.exchange(2, user_id="ada")
    await turns.begin("Better put", message_id="question-1", user_id="ada")

    assert await _told(turns) == (1, "Better put")


async def test_a_summary_ignores_expired_messages(turns: Turns) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(days=20)
    await turns.exchange(2, user_id="ada")
    turns.wait(days=10)

    assert await _told(turns, retention_days=30) == (4, "Answer 2")
    turns.wait(seconds=1)
    assert await _told(turns, retention_days=30) == (2, "Answer 2")
    assert await _told(turns, retention_days=0) == (4, "Answer 2")


async def test_a_summary_without_current_messages_has_no_last_message(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run("UPDATE conversations SET updated_at = updated_at + interval '1 day'")
    turns.wait(days=30, seconds=1)

    assert await _told(turns, retention_days=30) == (0, None)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120),
        ("😀" * 121, "😀" * 120),
        ("", ""),
        (" \n ", " \n "),
    ],
)
async def test_a_summary_shows_120_characters_of_the_last_message(
    turns: Turns, content: str, shown: str
) -> None:
    await turns.finish(await turns.begin(user_id="ada"), content)

    assert await _told(turns) == (2, shown)


@pytest.mark.parametrize("user_id", ["ada", None])
async def test_another_callers_conversation_has_no_summary(
    turns: Turns, user_id: str | None
) -> None:
    await turns.exchange(1, user_id=user_id)

    summaries = {
        caller: [summary.message_count for summary in await _find(turns, user_id=caller)]
        for caller in ("ada", "eve", None)
    }

    assert summaries.pop(user_id) == [2]
    assert list(summaries.values()) == [[], []]


async def test_an_unknown_or_expired_conversation_has_no_summary(turns: Turns) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(days=31)

    assert await _find(turns, conversation_id=uuid4()) == []
    assert await _find(turns, retention_days=30) == []
    assert len(await _find(turns, retention_days=0)) == 1


async def _told(turns: Turns, **parameters: Any) -> tuple[int, str | None]:
    [summary] = await _summaries(turns, **parameters)
    return summary.message_count, summary.last_message


async def _summaries(turns: Turns, **parameters: Any) -> list[ConversationDetails]:
    """Return the rows of find_conversation_summary; list_conversations must tell the same."""
    summaries = await _find(turns, **parameters)
    page = {"shown_status": "all", "cursor_updated_at": None, "cursor_id": None, "page_size": 20}
    defaults = {"user_id": "ada", "retention_days": 0, "now": turns.now} | parameters
    _, listed = await turns.database.run(act_as("ada"), LIST_CONVERSATIONS(**page, **defaults))
    assert [_listed(summary) for summary in summaries] == listed
    return summaries


def _listed(details: ConversationDetails) -> ConversationSummary:
    names = [column.name for column in fields(ConversationSummary)]
    columns: dict[str, Any] = {name: getattr(details, name) for name in names}
    return ConversationSummary(**columns)


async def _find(
    turns: Turns,
    *,
    user_id: str | None = "ada",
    conversation_id: UUID | None = None,
    retention_days: int = 0,
) -> list[ConversationDetails]:
    wanted = conversation_id or turns.conversation_id
    _, summaries = await turns.database.run(
        act_as(user_id, wanted),
        FIND_CONVERSATION_SUMMARY(
            conversation_id=wanted, user_id=user_id, retention_days=retention_days, now=turns.now
        ),
    )
    return summaries
