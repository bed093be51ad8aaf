"""list_mistakes."""

from typing import Any
from uuid import uuid4

import pytest

from lib.conversations.mistakes import LIST_MISTAKES, Mistake
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, act_as, contents

MARK = "UPDATE chat_messages SET is_mistake = TRUE WHERE role = 'assistant'"


async def test_mistakes_of_all_conversations_are_listed_newest_first_with_their_questions(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(seconds=1)
    await turns.exchange(2, user_id="ada", conversation_id=uuid4())
    await turns.exchange(3, user_id="ada")
    rows.run(MARK + " AND content <> 'Answer 3'")

    mistakes = await _list(turns)

    assert contents(mistakes) == ["Answer 2", "Answer 1"]
    assert [(mistake.question_message_id, mistake.question) for mistake in mistakes] == [
        ("question-2", "Question 2"), ("question-1", "Question 1"),
    ]  # fmt: skip
    assert mistakes[0].conversation_id != mistakes[1].conversation_id


async def test_the_next_page_of_mistakes_continues_after_the_last_answer(
    turns: Turns, rows: Rows
) -> None:
    for number in range(1, 5):
        await turns.exchange(number, user_id="ada")
    turns.wait(seconds=1)
    await turns.exchange(5, user_id="ada")
    rows.run(MARK)

    seen, last = list[str](), None
    while page := await _list(turns, after=last, page_size=2):
        assert len(page) <= 2
        seen += contents(page)
        last = page[-1]

    assert seen == ["Answer 5", "Answer 4", "Answer 3", "Answer 2", "Answer 1"]


@pytest.mark.parametrize("owner", ["eve", None])
async def test_another_users_mistakes_are_not_listed(
    turns: Turns, rows: Rows, owner: str | None
) -> None:
    await turns.exchange(1, user_id=owner)
    rows.run(MARK)

    assert await _list(turns) == []


async def test_a_replaced_mistake_is_still_listed(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run(MARK)
    await turns.begin("Better put", user_id="ada")

    [mistake] = await _list(turns)

    assert (mistake.content, mistake.question) == ("Answer 1", "Question 1")


async def test_a_mistake_whose_question_is_gone_is_listed_without_it(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run(MARK)
    rows.run("DELETE FROM chat_messages WHERE role = 'user'")

    [mistake] = await _list(turns)

    assert (mistake.question_message_id, mistake.question) == (None, None)


@pytest.mark.parametrize(
    ("days", "retention_days", "is_listed"),
    [(30, 30, True), (30.1, 30, False), (4000, 0, True)],
)
async def test_an_expired_mistake_is_not_listed(
    turns: Turns, rows: Rows, days: float, retention_days: int, *, is_listed: bool
) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run(MARK)
    turns.wait(days=days)

    assert bool(await _list(turns, retention_days=retention_days)) == is_listed


async def test_an_expired_question_is_not_shown_with_its_mistake(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, user_id="ada")
    turns.wait(days=20)
    again = await turns.begin(None, message_id=None, user_id="ada", regenerates=True)
    await turns.finish(again, "Answer 1, again", answer_message_id="answer-2")
    rows.run(MARK)
    turns.wait(days=20)

    [mistake] = await _list(turns)

    assert mistake.content == "Answer 1, again"
    assert (mistake.question_message_id, mistake.question) == (None, None)


async def _list(turns: Turns, *, after: Mistake | None = None, **parameters: Any) -> list[Mistake]:
    defaults = {
        "user_id": "ada",
        "retention_days": 30,
        "cursor_created_at": after.created_at if after else None,
        "cursor_id": after.id if after else None,
        "page_size": 200,
        "now": turns.now,
    }
    _, mistakes = await turns.database.run(act_as("ada"), LIST_MISTAKES(**(defaults | parameters)))
    return mistakes
