"""begin_turn: the refusals, which store nothing."""

import psycopg
import pytest

from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns


async def test_an_archived_conversation_takes_no_new_messages(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("UPDATE conversations SET status = 'archived'")

    sent = await turns.begin("Question 2", message_id="question-2")
    edited = await turns.begin("Better put")
    regenerated = await turns.begin("Question 1", regenerates=True)

    assert [sent.verdict, edited.verdict, regenerated.verdict] == ["archived"] * 3
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1"]


async def test_an_archived_conversation_still_replays_its_answers(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    rows.run("UPDATE conversations SET status = 'archived'")

    assert (await turns.begin("Question 1")).verdict == "answered"


async def test_a_full_conversation_takes_no_new_messages(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)

    full = await turns.begin("Question 2", message_id="question-2", max_messages=2)
    assert full.verdict == "full"
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1"]

    room = await turns.begin("Question 2", message_id="question-2", max_messages=3)
    assert room.verdict == "taken"


async def test_a_full_conversation_still_takes_edits_and_new_answers(turns: Turns) -> None:
    await turns.exchange(1)

    regenerated = await turns.begin("Question 1", regenerates=True, max_messages=2)
    await turns.finish(regenerated, answer_message_id="answer-2")
    edited = await turns.begin("Better put", max_messages=2)

    assert [regenerated.verdict, edited.verdict] == ["taken", "taken"]


async def test_replaced_messages_do_not_fill_a_conversation(turns: Turns) -> None:
    await turns.exchange(1)
    edited = await turns.begin("Better put")
    await turns.finish(edited, answer_message_id="answer-2")

    sent = await turns.begin("Question 2", message_id="question-2", max_messages=3)

    assert sent.verdict == "taken"


@pytest.mark.parametrize("regenerates", [False, True])
async def test_the_id_of_an_answer_is_refused_as_the_id_of_a_question(
    turns: Turns, rows: Rows, *, regenerates: bool
) -> None:
    await turns.exchange(1)

    begun = await turns.begin("Hello?", message_id="answer-1", regenerates=regenerates)

    assert begun.verdict == "message_id_taken"
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1"]


@pytest.mark.parametrize(("owner", "intruder"), [("ada", "eve"), (None, "eve")])
async def test_another_users_conversation_looks_like_one_that_is_being_created(
    turns: Turns, rows: Rows, owner: str | None, intruder: str | None
) -> None:
    await turns.exchange(1, user_id=owner)
    before = rows.run("SELECT * FROM conversations")

    for _ in range(2):
        with pytest.raises(psycopg.errors.UniqueViolation, match="conversations_pkey"):
            await turns.begin("Question 1", user_id=intruder)
    regenerated = await turns.begin(None, message_id=None, user_id=intruder, regenerates=True)

    assert regenerated.verdict == "nothing_to_answer"
    assert rows.run("SELECT * FROM conversations") == before
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1"]


async def test_an_expired_message_is_stored_again_as_a_new_one(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    turns.wait(days=31)

    again = await turns.begin("Question 1", retention_days=30)

    assert again.verdict == "taken"
    assert again.prompt == ["Question 1"]
    assert rows.current(turns.conversation_id)[-1] == "Question 1"


async def test_expired_messages_are_neither_read_nor_regenerated_nor_counted(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=31)

    regenerated = await turns.begin(None, message_id=None, regenerates=True, retention_days=30)
    assert regenerated.verdict == "nothing_to_answer"

    sent = await turns.begin(
        "Question 2", message_id="question-2", retention_days=30, max_messages=2
    )
    assert sent.verdict == "taken"
    assert sent.prompt == ["Question 2"]


async def test_a_message_exactly_as_old_as_the_retention_period_is_not_expired(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=30)

    assert (await turns.begin("Question 1", retention_days=30)).verdict == "answered"


async def test_without_a_retention_period_nothing_expires(turns: Turns) -> None:
    await turns.exchange(1)
    turns.wait(days=4000)

    assert (await turns.begin("Question 1", retention_days=0)).verdict == "answered"


async def test_the_id_of_an_expired_message_may_be_used_for_a_replacement(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    turns.wait(days=31)
    await turns.exchange(2, retention_days=30)

    edited = await turns.begin(
        "Better put",
        message_id="question-1",
        replaced_message_id="question-2",
        retention_days=30,
    )

    assert edited.verdict == "taken"
    assert edited.prompt == ["Better put"]
