"""list_unsummarized."""

from datetime import timedelta

import pytest

from lib.turns.summaries import PastMessage
from tests.support.steps.rows import Rows
from tests.support.steps.summaries import Summaries
from tests.support.steps.turns import NOON, Turns


@pytest.fixture
async def summaries(turns: Turns, rows: Rows) -> Summaries:
    """Return the summaries of a conversation with four questions and their answers."""
    for number in range(1, 5):
        await turns.exchange(number)
    return Summaries(turns, rows)


def _texts(messages: list[PastMessage]) -> list[str]:
    return [message.content for message in messages]


async def test_the_current_messages_from_the_known_summary_on_are_listed_oldest_first(
    summaries: Summaries, turns: Turns, rows: Rows
) -> None:
    known_id = summaries.id_of("Answer 1")
    rows.run(
        "INSERT INTO chat_messages (conversation_id, role, content) VALUES (%s, 'system', 'Hm.')",
        turns.conversation_id,
    )
    edited = await turns.begin("New 4", message_id="question-4")
    await turns.finish(edited, "Answer to it", answer_message_id="answer-9")

    listed = await summaries.unsummarized("Answer to it", known_id=known_id)

    assert _texts(listed) == [
        "Question 2", "Answer 2", "Question 3", "Answer 3", "New 4", "Answer to it",
    ]  # fmt: skip
    assert [message.role for message in listed] == ["user", "assistant"] * 3


async def test_no_more_messages_and_characters_are_listed_than_wanted(
    summaries: Summaries,
) -> None:
    # "Question 1" and "Answer 1" have 18 characters.
    for limits, count in [({"max_messages": 3}, 3), ({"max_chars": 27}, 2), ({"max_chars": 1}, 1)]:
        listed = await summaries.unsummarized("Answer 4", **limits)

        assert _texts(listed) == ["Question 1", "Answer 1", "Question 2"][:count]
        assert not listed[-1].is_last
    listed = await summaries.unsummarized("Answer 1", max_messages=2, max_chars=18)
    assert [message.is_last for message in listed] == [False, True]


async def test_tool_calls_and_names_of_files_are_listed_and_a_refused_question_is_not(
    summaries: Summaries, rows: Rows
) -> None:
    rows.run("""UPDATE chat_messages SET tool_calls = '[{"name": "add_task"}]'
                WHERE content = 'Answer 1'""")
    rows.run("""UPDATE chat_messages SET files = '[{"filename": "a.txt"}, {}, {"filename": "b"}]'
                WHERE content = 'Question 1'""")
    rows.run("UPDATE chat_messages SET refusal = 'refused' WHERE content = 'Question 2'")
    rows.run("""UPDATE chat_messages SET is_mistake = TRUE, mistake_note = 'Not so.'
                WHERE content = 'Answer 2'""")
    rows.run("""UPDATE chat_messages SET steps = '[[{"type": "data"}]]'
                WHERE content IN ('Question 3', 'Answer 1')""")

    question, answer, marked, last = await summaries.unsummarized("Question 3", max_chars=60)

    assert (question.file_names, question.tool_calls, question.steps) == ("a.txt, b", None, None)
    assert (answer.file_names, answer.tool_calls) == (None, '[{"name": "add_task"}]')
    assert (answer.is_mistake, answer.steps) == (False, None)
    assert (marked.content, marked.is_mistake, marked.mistake_note) == ("Answer 2", True, "Not so.")
    assert (last.content, last.steps) == ("Question 3", [[{"type": "data"}]])


@pytest.mark.parametrize(("retention_days", "count"), [(29, 0), (30, 2), (0, 2)])
async def test_expired_messages_are_not_listed(
    summaries: Summaries, retention_days: int, count: int
) -> None:
    now = NOON + timedelta(days=30)

    listed = await summaries.unsummarized("Answer 1", retention_days=retention_days, now=now)

    assert len(listed) == count


async def test_another_callers_messages_are_not_listed(summaries: Summaries) -> None:
    summaries.user_id = "eve"

    assert await summaries.unsummarized("Answer 4") == []
