"""begin_turn, finish_turn and change_conversation: how long a title lives."""

from datetime import timedelta
from typing import Any

import pytest

from lib.conversations.changes import CHANGE_CONVERSATION
from tests.support.steps.rows import Rows
from tests.support.steps.turns import FIRST_TITLE, NOON, Turns, act_as

TITLED = "SELECT title, titled_at FROM conversations"
KEEPING: dict[str, Any] = {"user_id": "ada", "retention_days": 30}


async def test_an_automatic_title_is_as_old_as_the_first_message(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, **KEEPING)
    turns.wait(days=1)
    await turns.exchange(2, **KEEPING)

    assert rows.run(TITLED) == [(FIRST_TITLE, NOON)]


async def test_a_models_title_is_as_old_as_the_question_and_not_as_its_answer(
    turns: Turns, rows: Rows
) -> None:
    begun = await turns.begin(**KEEPING)
    turns.wait(seconds=50)
    # Set by the user in between, to the same words.
    rows.run("UPDATE conversations SET titled_at = %s", NOON + timedelta(days=9))

    await turns.finish(begun, title="By the model")

    assert rows.run(TITLED) == [("By the model", NOON)]


async def test_a_title_that_its_user_has_set_lives_from_then_on(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, **KEEPING)
    turns.wait(days=9)
    change = {
        "conversation_id": turns.conversation_id,
        "user_id": "ada",
        "retention_days": 30,
        "now": turns.now,
    }
    await turns.database.run(
        act_as("ada"),
        CHANGE_CONVERSATION(**change, title=None, status="archived", instructions=None),
    )
    assert rows.run(TITLED) == [(FIRST_TITLE, NOON)]

    await turns.database.run(
        act_as("ada"), CHANGE_CONVERSATION(**change, title="Mine", status=None, instructions=None)
    )

    assert rows.run(TITLED) == [("Mine", turns.now)]


@pytest.mark.parametrize(("retention_days", "title"), [(30, "New"), (0, FIRST_TITLE)])
async def test_the_next_message_gives_its_title_to_a_conversation_whose_title_has_expired(
    turns: Turns, rows: Rows, retention_days: int, title: str
) -> None:
    await turns.exchange(1, **KEEPING)
    turns.wait(days=20)
    await turns.exchange(2, **KEEPING)
    turns.wait(days=20)

    begun = await turns.begin(
        "New", message_id="new", user_id="ada", title="New", retention_days=retention_days
    )

    assert begun.title == title
    assert rows.run(TITLED) == [(title, turns.now if retention_days else NOON)]


async def test_a_question_tried_again_or_answered_again_gives_no_new_title(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, **KEEPING)
    turns.wait(days=20)
    failed = await turns.begin("Two", message_id="two", **KEEPING)
    await turns.finish(failed, finish_reason="error", answer_message_id="failed")
    turns.wait(days=20)

    retried = await turns.begin("Two", message_id="two", title="Two", **KEEPING)
    await turns.finish(retried, answer_message_id="answer-2")
    again = await turns.begin(None, message_id=None, regenerates=True, title="", **KEEPING)

    assert (retried.verdict, again.verdict) == ("taken", "taken")
    # A title as old as the retry would tell the question for longer than the question is kept.
    assert (retried.title, again.title) == (None, None)
    assert rows.run(TITLED) == [(FIRST_TITLE, NOON)]


async def test_a_message_names_a_conversation_without_a_title(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1, **KEEPING)
    rows.run("UPDATE conversations SET title = NULL")

    begun = await turns.begin("New", message_id="new", title="New", **KEEPING)

    assert begun.title == "New"
