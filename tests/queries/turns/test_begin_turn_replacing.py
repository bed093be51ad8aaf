"""begin_turn: edits and regenerated answers, which mark the messages that they replace."""

import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from lib.identity.callers import Caller
from lib.turns.begin import begin_turn
from lib.turns.request import ChatRequest
from tests.support.steps.rows import Rows
from tests.support.steps.turns import LEASE_SECONDS, Turns


async def test_a_new_text_under_the_same_id_replaces_the_message_and_all_later_ones(
    turns: Turns, rows: Rows
) -> None:
    for number in (1, 2, 3):
        await turns.exchange(number)

    edited = await turns.begin("Question 2, better put", message_id="question-2")

    assert edited.verdict == "taken"
    assert edited.prompt == ["Question 1", "Answer 1", "Question 2, better put"]
    assert rows.current(turns.conversation_id) == edited.prompt
    assert rows.superseded(turns.conversation_id) == [
        "Question 2", "Answer 2", "Question 3", "Answer 3",
    ]  # fmt: skip


async def test_an_edit_sent_twice_is_stored_once(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    edited = await turns.begin("Better put")

    assert (await turns.begin("Better put")).verdict == "being_answered"
    await turns.finish(edited, "I see.", answer_message_id="answer-2")

    assert (await turns.begin("Better put")).verdict == "answered"
    assert rows.current(turns.conversation_id) == ["Better put", "I see."]
    assert rows.superseded(turns.conversation_id) == ["Question 1", "Answer 1"]


async def test_an_edit_waits_while_its_message_is_being_answered(turns: Turns, rows: Rows) -> None:
    await turns.begin()

    assert (await turns.begin("Better put")).verdict == "turn_in_progress"
    assert rows.current(turns.conversation_id) == ["Hello!"]


async def test_an_edit_of_a_message_that_never_got_an_answer_is_answered(
    turns: Turns, rows: Rows
) -> None:
    await turns.release(await turns.begin())

    assert (await turns.begin("Better put")).verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Better put"]


async def test_system_messages_survive_edits_and_new_answers(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    _say_as_system(rows, turns, "Be brief.")
    await turns.exchange(2)

    edited = await turns.begin("Better put")

    assert edited.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Be brief.", "Better put"]


async def test_a_message_may_replace_another_under_an_id_of_its_own(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    await turns.exchange(2)

    edited = await turns.begin(
        "Better put", message_id="question-3", replaced_message_id="question-1"
    )
    again = await turns.begin(
        "Better put", message_id="question-3", replaced_message_id="question-1"
    )

    assert [edited.verdict, again.verdict] == ["taken", "being_answered"]
    assert rows.current(turns.conversation_id) == ["Better put"]


async def test_replacing_an_unknown_message_sends_a_new_one(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)

    sent = await turns.begin("And you?", message_id="question-2", replaced_message_id="gone")

    assert sent.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1", "And you?"]


@pytest.mark.parametrize(
    "named", [("question-1", None), (None, None), (None, "answer-1"), ("question-1", "answer-1")]
)
async def test_an_answer_is_regenerated_by_its_own_id_its_questions_id_or_none(
    turns: Turns, rows: Rows, named: tuple[str | None, str | None]
) -> None:
    await turns.exchange(1)
    message_id, answer_message_id = named

    begun = await turns.begin(
        "Question 1" if message_id else None,
        message_id=message_id,
        regenerates=True,
        answer_message_id=answer_message_id,
    )
    await turns.finish(begun, "Answer 1, again", answer_message_id="answer-2")

    assert begun.verdict == "taken"
    assert begun.prompt == ["Question 1"]
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1, again"]
    assert rows.superseded(turns.conversation_id) == ["Answer 1"]


async def test_regenerating_an_earlier_answer_replaces_all_messages_after_its_question(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    await turns.exchange(2)

    begun = await turns.begin(None, message_id=None, regenerates=True, answer_message_id="answer-1")
    await turns.finish(begun, "Answer 1, again", answer_message_id="answer-3")

    assert begun.verdict == "taken"
    assert begun.prompt == ["Question 1"]
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1, again"]


async def test_the_old_answer_stays_when_its_regeneration_fails(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)
    await turns.exchange(2)

    begun = await turns.begin(None, message_id=None, regenerates=True, answer_message_id="answer-1")
    await turns.release(begun)

    assert rows.current(turns.conversation_id) == [
        "Question 1",
        "Answer 1",
        "Question 2",
        "Answer 2",
    ]


async def test_a_message_whose_answer_is_being_regenerated_waits_for_the_new_answer(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    await turns.begin("Question 1", message_id="question-1", regenerates=True)

    again = await turns.begin("Question 1", message_id="question-1")

    assert again.verdict == "being_answered"


async def test_a_request_that_may_not_take_the_turn_gets_the_verdict_unanswered(
    turns: Turns,
) -> None:
    await turns.release(await turns.begin())

    again = await turns.begin(takes_turn=False)

    assert again.verdict == "unanswered"
    assert (await turns.begin()).verdict == "taken"


async def test_the_named_answer_decides_what_is_regenerated_not_the_message_beside_it(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    await turns.exchange(2)

    begun = await turns.begin(
        "Question 2", message_id="question-2", regenerates=True, answer_message_id="answer-1"
    )
    await turns.finish(begun, "Answer 1, again", answer_message_id="answer-3")

    assert begun.verdict == "taken"
    assert begun.prompt == ["Question 1"]
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1, again"]


async def test_regenerating_with_a_changed_text_is_an_edit(turns: Turns, rows: Rows) -> None:
    await turns.exchange(1)

    begun = await turns.begin("Better put", regenerates=True, answer_message_id="answer-1")

    assert begun.verdict == "taken"
    assert rows.current(turns.conversation_id) == ["Better put"]
    assert rows.superseded(turns.conversation_id) == ["Question 1", "Answer 1"]


async def test_regenerating_answers_the_last_question_that_got_no_answer(
    turns: Turns,
) -> None:
    await turns.exchange(1)
    await turns.release(await turns.begin("Hello?", message_id="question-2"))

    begun = await turns.begin(None, message_id=None, regenerates=True)

    assert begun.verdict == "taken"
    assert begun.prompt == ["Question 1", "Answer 1", "Hello?"]


async def test_regenerating_an_answer_that_is_being_made_joins_its_attempt(
    turns: Turns,
) -> None:
    first = await turns.begin()

    again = await turns.begin(regenerates=True)

    assert again.verdict == "being_answered"
    assert again.question.id == first.question.id


async def test_regenerating_without_an_id_joins_the_attempt_at_the_last_answer(
    turns: Turns,
) -> None:
    # The real clock, because `lib` uses it.
    turns.now = datetime.now(UTC)
    first = await turns.begin()

    attached = await begin_turn(
        turns.database,
        Caller(),
        turns.conversation_id,
        ChatRequest(regenerates=True, wants_stream=True),
        turn_id=uuid4(),
        deadline=time.monotonic() + LEASE_SECONDS,
    )

    assert attached.verdict == "being_answered"
    assert attached.question.id == first.question.id


async def test_an_earlier_answer_is_not_regenerated_while_another_is_being_made(
    turns: Turns, rows: Rows
) -> None:
    await turns.exchange(1)
    await turns.begin("Question 2", message_id="question-2")

    again = await turns.begin("Question 1", regenerates=True, answer_message_id="answer-1")

    assert again.verdict == "turn_in_progress"
    assert rows.current(turns.conversation_id) == ["Question 1", "Answer 1", "Question 2"]


@pytest.mark.parametrize("has_conversation", [True, False])
async def test_regenerating_in_an_empty_conversation_finds_nothing_to_answer(
    turns: Turns, rows: Rows, *, has_conversation: bool
) -> None:
    if has_conversation:
        rows.run("INSERT INTO conversations (id) VALUES (%s)", turns.conversation_id)
        _say_as_system(rows, turns, "Be brief.")

    begun = await turns.begin(None, message_id=None, regenerates=True)

    assert begun.verdict == "nothing_to_answer"
    assert rows.run("SELECT count(*) FROM conversations") == [(int(has_conversation),)]


async def test_replaced_messages_are_marked_and_otherwise_unchanged(
    turns: Turns, rows: Rows
) -> None:
    columns = "id, content, message_id, reply_to, finish_reason, created_at, updated_at"
    replaced = f"SELECT {columns} FROM chat_messages WHERE id <= 2 ORDER BY id"
    await turns.exchange(1)
    before = rows.run(replaced)
    turns.wait(seconds=5)

    await turns.begin("Better put")

    assert rows.run(replaced) == before
    marked = rows.run("SELECT superseded_at FROM chat_messages ORDER BY id")
    assert marked == [(turns.now,), (turns.now,), (None,)]


def _say_as_system(rows: Rows, turns: Turns, content: str) -> None:
    rows.run(
        """
        INSERT INTO chat_messages (conversation_id, role, content, created_at)
        VALUES (%s, 'system', %s, %s)
        """,
        turns.conversation_id,
        content,
        turns.now,
    )
