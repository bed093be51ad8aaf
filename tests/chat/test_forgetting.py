"""Nothing of a conversation is forgotten silently, and nothing outlives what it was made of."""

import asyncio
from typing import Any

import psycopg
import pytest

import lib.answers._summaries.making
from tests.support.guests import new_guest
from tests.support.imports import chatgpt, chatgpt_message
from tests.support.long_talk import FACT, ON, ask, question, talk, until_idle
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, problem_of
from tests.support.small_model import SmallModel, text_of

SHORT = pytest.mark.environment(**ON, HISTORY_MESSAGES="8", RETENTION_DAYS="30")
LONG = pytest.mark.environment(**ON, HISTORY_MESSAGES="1000", MAX_MESSAGE_CHARS="100000")
WITHHELD = Reply(status=400, error={"error": {"code": "content_filter", "message": "No"}})


def stored(database: psycopg.Connection) -> list[str | None]:
    """Return the texts of all summaries; None: one is being made."""
    rows = database.execute("SELECT content FROM conversation_summaries ORDER BY through_id")
    return [content for (content,) in rows]


@LONG
async def test_a_question_is_answered_without_old_messages_where_a_summary_takes_too_long(
    parley: Parley, small: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for the request to reach the model, also on a busy machine.
    monkeypatch.setattr(lib.answers._summaries.making, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(lib.answers._summaries.making, "LEAST_SECONDS", 0.1)
    small.max_tokens = 100_000
    await talk(parley, 10)
    small.max_tokens = len(text_of(small.answers[-1])) // 4
    small.holds_summaries = asyncio.Event()

    await ask(parley, 10)

    assert small.is_asked.is_set()
    assert question(10) in text_of(small.answers[-1])
    small.holds_summaries.set()


@SHORT
async def test_what_expired_during_an_answer_does_not_live_on_in_a_new_summary(
    parley: Parley, small: SmallModel, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await ask(parley, 0, "FACT: Expired secret.")
    for number in range(1, 6):
        await ask(parley, number)
        await until_idle()
    assert set(stored(database)) == {"FACT: Expired secret."}

    def clean_up(_: object) -> Reply:
        model.choose = small
        database.execute("DELETE FROM chat_messages WHERE id = (SELECT min(id) FROM chat_messages)")
        return small(model.requests[-1])

    model.choose = clean_up
    await ask(parley, 6)
    await until_idle()
    await ask(parley, 7)
    await until_idle()

    assert "Expired" not in str(stored(database))


@SHORT
async def test_an_expired_summary_is_replaced_by_one_of_what_is_kept(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    await talk(parley, 6)
    database.execute("UPDATE conversation_summaries SET oldest_at = oldest_at - interval '31 days'")
    database.execute("""
        UPDATE chat_messages SET created_at = created_at - interval '31 days'
        WHERE id = (SELECT min(id) FROM chat_messages)
    """)

    for number in range(6, 12):
        await ask(parley, number)
        await until_idle()
        assert FACT in text_of(small.answers[-1])


@pytest.mark.environment(**ON, HISTORY_MESSAGES="20")
async def test_an_imported_conversation_is_told_from_its_beginning_in_the_first_answer(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    texts = [FACT, *(f"Message {number}" for number in range(1, 60))]
    roles = ("user", "assistant")
    messages = [chatgpt_message(roles[number % 2], text) for number, text in enumerate(texts)]
    response = await parley.client.post(
        "/api/conversations?import=chatgpt", json=[chatgpt(*messages)], headers=headers_of("ann")
    )
    assert response.json()["messages"]["new"] == 60
    [(chat_id,)] = database.execute("SELECT id::text FROM conversations").fetchall()

    await parley.send("And now?", chat_id=chat_id, user="ann")

    assert FACT in text_of(small.answers[-1])
    assert "Message 59" in text_of(small.answers[-1])


@SHORT
@pytest.mark.parametrize(("summary", "reason"), [("Ann has", "length"), ("word " * 2000, "stop")])
async def test_a_summary_that_is_cut_or_finds_no_end_is_not_stored(
    parley: Parley, small: SmallModel, database: psycopg.Connection, summary: str, reason: str
) -> None:
    small.summary, small.summary_reason = summary, reason

    await talk(parley, 4)

    assert stored(database) == []
    # It was asked for less before it was given up.
    assert ["150 words" in text_of(body) for body in small.summaries] == [False, True]


@LONG
async def test_a_long_message_is_summarized_to_its_end(parley: Parley, small: SmallModel) -> None:
    small.max_tokens = 100_000
    await ask(parley, 0, "word " * 12_000 + FACT)
    await ask(parley, 1)
    small.max_tokens = small.max_summary_tokens = 2000

    await ask(parley, 2)

    assert len(small.summaries) > 5
    assert FACT in text_of(small.answers[-1])


@SHORT
async def test_a_message_that_the_summary_model_refuses_does_not_end_all_summaries(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    small.poison = f"{question(1)}:"

    await talk(parley, 8)

    assert FACT in text_of(small.answers[-1])
    assert "could not be summarized" in str(stored(database))


@SHORT
async def test_a_mark_of_the_user_and_data_of_the_page_are_summarized(
    parley: Parley, small: SmallModel
) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "How late is it?"},
        {"type": "data-clock", "data": {"shows": "FACT: Noon."}},
    ]
    message = {"id": "m-0", "role": "user", "parts": parts}
    await parley.send("", user="ann", messages=[message])
    answer = (await parley.history(user="ann"))["messages"][1]["id"]
    where = {"id": answer, "conversation_id": CHAT_ID}
    mark = {"is_mistake": True, "mistake_note": "FACT: It was one."}
    await parley.client.patch("/api/messages", params=where, json=mark, headers=headers_of("ann"))

    for number in range(1, 6):
        await ask(parley, number)
        await until_idle()

    assert "FACT: Noon." in text_of(small.answers[-1])
    assert "FACT: It was one." in text_of(small.answers[-1])


@LONG
async def test_a_question_that_is_too_long_by_itself_costs_no_summary_and_nothing_of_the_past(
    parley: Parley, small: SmallModel
) -> None:
    await talk(parley, 6)

    response = await parley.send("x" * 40_000, message_id="huge", user="ann")

    problem_of(response, 422, "conversation_too_long")
    await ask(parley, 7)
    assert small.summaries == []
    assert FACT in text_of(small.answers[-1])


@LONG
async def test_a_summary_stays_in_the_request_where_the_provider_wants_a_shorter_one(
    parley: Parley, small: SmallModel, model: ScriptedModel
) -> None:
    small.max_tokens = 100_000
    await talk(parley, 10)
    small.max_tokens = len(text_of(small.answers[-1])) // 4
    await ask(parley, 10)
    assert len(small.summaries) == 1
    small.failing_summaries = 100
    small.max_tokens = len(text_of(small.answers[-1])) // 4

    await ask(parley, 11)
    assert FACT in text_of(small.answers[-1])

    # Also where a question before has no answer, and the cure is to leave it out.
    model.choose = lambda _: Reply(status=500)
    await parley.send("Unanswered", message_id="message-12", user="ann")
    refusals = [WITHHELD]
    model.choose = lambda body: refusals.pop() if refusals else small(body)
    await ask(parley, 13)
    assert FACT in text_of(small.answers[-1])


@pytest.mark.environment(SUMMARIES="off", MAX_PROMPT_TOKENS="1500")
async def test_without_summaries_the_budget_leaves_half_of_itself_to_the_newest_messages(
    parley: Parley, model: ScriptedModel
) -> None:
    model.choose = small = SmallModel(max_tokens=100_000)

    await talk(parley, 60)

    counts = [len(body["messages"]) for body in small.answers]
    assert min(counts[8:]) > 5


@SHORT
async def test_a_guests_summary_that_is_being_made_does_not_hold_up_its_new_owner(
    parley: Parley, small: SmallModel, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley)
    for number in range(3):
        await guest.say(question(number))
        await until_idle()
    small.holds_summaries = asyncio.Event()
    await guest.say(FACT)
    await asyncio.wait_for(small.is_asked.wait(), 10)

    headers = headers_of("ann") | guest.headers()
    response = await parley.client.patch(
        "/api/conversations", params={"id": guest.id}, json={"claim": True}, headers=headers
    )
    assert response.status_code == 200
    small.holds_summaries.set()
    await until_idle()

    assert stored(database) == []
    await parley.say("And now?", user="ann", conversation_id=guest.id)
    await until_idle()
    assert len(stored(database)) == 1
    assert FACT in text_of(small.answers[-1])
