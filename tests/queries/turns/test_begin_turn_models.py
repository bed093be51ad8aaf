"""begin_turn: which model answers, what it is told of the user's wishes, and its quota."""

from typing import Any

import pytest

from tests.support.steps.quotas import QuotaCount, quota_counts
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns

MODELS: dict[str, Any] = {
    "models": ["Fast", "Deep"],
    "model_subjects": ["ada Fast", "ada Deep"],
    "model_messages_per_day": [0, 1],
}
STORED = "SELECT model FROM conversations"
SET_INSTRUCTIONS = "UPDATE conversations SET instructions = 'In French.'"


@pytest.mark.parametrize(
    ("requested", "stored", "answering", "stored_then"),
    [
        (None, None, "Fast", None),
        ("Deep", None, "Deep", "Deep"),
        (None, "Deep", "Deep", "Deep"),
        ("Fast", "Deep", "Fast", "Fast"),
        # No longer configured, or not for this caller: it may come back.
        (None, "Gone", "Fast", "Gone"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False], ids=["a new message", "a regenerated answer"])
async def test_the_requested_model_answers_or_the_conversations_or_the_first(
    turns: Turns,
    rows: Rows,
    requested: str | None,
    stored: str | None,
    answering: str,
    stored_then: str | None,
    *,
    is_new: bool,
) -> None:
    await turns.exchange(1)
    rows.run("UPDATE conversations SET model = %s", stored)

    request: dict[str, Any] = {"message_id": "question-2"} if is_new else {"regenerates": True}
    begun = await turns.begin(
        model=requested, models=["Fast", "Deep"], model_subjects=["", ""],
        model_messages_per_day=[0, 0], **request,
    )  # fmt: skip

    assert (begun.verdict, begun.model) == ("taken", answering)
    assert rows.run(STORED) == [(stored_then,)]


async def test_a_first_message_keeps_its_model_and_every_message_its_style(
    turns: Turns, rows: Rows
) -> None:
    style = {"persona": "guide", "tone": "casual", "behavior": "cautious"}
    first = await turns.begin(model="Deep", **style, **MODELS)
    assert rows.run(STORED) == [("Deep",)]
    await turns.finish(first)
    await turns.begin(message_id="question-2", model="Fast", **style, **MODELS)

    assert rows.run(STORED) == [("Fast",)]
    questions = rows.run("SELECT persona, tone, behavior FROM chat_messages WHERE role = 'user'")
    assert questions == [("guide", "casual", "cautious")] * 2


async def test_a_models_quota_counts_its_answers_alone_and_refuses_no_other_model(
    turns: Turns, rows: Rows
) -> None:
    first = await turns.begin(model="Deep", user_id="ada", messages_per_day=9, **MODELS)
    await turns.finish(first)

    # The conversation's own model, though the request names none.
    refused = await turns.begin(
        message_id="question-2", user_id="ada", messages_per_day=9, **MODELS
    )
    other = await turns.begin(
        message_id="question-3", model="Fast", user_id="ada", messages_per_day=9, **MODELS
    )

    assert (refused.verdict, refused.model) == ("over_quota", "Deep")
    assert refused.quota is not None
    assert (refused.quota.subject.name, refused.quota.refusal) == ("ada Deep", "uses")
    assert (other.verdict, other.model) == ("taken", "Fast")
    assert quota_counts(rows) == {"ada": QuotaCount(2, 2), "ada Deep": QuotaCount(1, 1)}


async def test_a_turn_gets_the_instructions_of_its_conversation_and_of_its_user(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, user_id="ada")
    rows.run("INSERT INTO users (id) VALUES ('eve')")
    rows.run(SET_INSTRUCTIONS)
    rows.run("INSERT INTO user_settings VALUES ('ada', 'I am Ada.', now()), ('eve', 'Eve', now())")

    begun = await turns.begin(message_id="question-2", user_id="ada")

    assert (begun.instructions, begun.user_instructions) == ("In French.", "I am Ada.")


async def test_a_conversation_that_begins_again_has_neither_its_old_model_nor_instructions(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1, model="Deep", **MODELS)
    rows.run(SET_INSTRUCTIONS)
    turns.wait(days=31)

    begun = await turns.begin(message_id="question-2", retention_days=30, **MODELS)

    assert (begun.verdict, begun.model, begun.instructions) == ("taken", "Fast", None)
    assert rows.run("SELECT model, instructions FROM conversations") == [(None, None)]
