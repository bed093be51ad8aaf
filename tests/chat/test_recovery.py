"""The next visitor stores the answer of a killed function, once, marked as interrupted."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import psycopg
import pytest

import lib.answers._batches
from lib.database.client import database as product_database
from lib.identity.callers import Caller
from lib.model._ids import portable_id
from lib.runtime.counting import FINISHES, counters
from lib.streams.compact import expand
from lib.turns.recover import recover_lapsed_turns, recover_turn
from tests.chat.test_tools import check_provider_form, tasks
from tests.support.left_behind import leave_behind
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import Parley, parts_of, text_of
from tests.support.reading import path_of, resuming, sending, until, until_stored

HANGS = Reply(hangs_after=2)
CUT = "Hello, how"
WHOLE = "Hello, how are you?"
MILK = Called("add_task", {"title": "Buy milk"}, "call_milk")

type Visitor = Callable[[Parley], Awaitable[object]]


async def cut_off(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, user: str | None = "ann"
) -> str:
    """Begin an answer and leave it behind; return the part of the stream that its client got."""
    model.replies = [HANGS]
    first = sending(parley.client, user=user)
    await first.has("how")
    await until_stored(database, "how")
    came = first.came
    leave_behind(database)
    return came


def answers(database: psycopg.Connection) -> list[tuple[str, str, bool]]:
    """Return text, finish reason, and whether it is superseded, of each stored answer."""
    return database.execute(
        "SELECT content, finish_reason, superseded_at IS NOT NULL FROM chat_messages "
        "WHERE role = 'assistant' ORDER BY id"
    ).fetchall()


async def the_cron(_: Parley) -> object:
    """Visit as the cron."""
    return await recover_lapsed_turns(product_database(), time.monotonic() + 60)


async def a_reader(parley: Parley) -> object:
    """Visit as a reader."""
    return await parley.get(path_of(), user="ann")


async def a_new_message(parley: Parley) -> object:
    """Visit with another message."""
    return await parley.send("And now?", message_id="message-2", user="ann")


async def the_message_again(parley: Parley) -> object:
    """Visit with the same message."""
    return await parley.send("Hello!", user="ann")


@pytest.mark.parametrize("visitor", [a_reader, a_new_message, the_cron])
async def test_the_next_visitor_stores_the_answer_of_a_dead_attempt(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, visitor: Visitor
) -> None:
    came = await cut_off(parley, model, database)

    await visitor(parley)

    assert answers(database)[0] == (CUT, "interrupted", False)
    question, answer, *_ = (await parley.history(user="ann"))["messages"]
    assert (question["role"], answer["role"]) == ("user", "assistant")
    assert f'"messageId":"{answer["id"]}"' in came
    assert database.execute("SELECT count(*) FROM stream_batches").fetchone() == (0,)


async def test_a_reader_of_a_dead_attempt_gets_its_parts_and_an_error(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    came = await cut_off(parley, model, database)

    response = await parley.get(path_of(), user="ann")

    assert response.text.startswith(came)
    assert parts_of(response)[-1]["type"] == "error"
    assert text_of(response) == CUT
    # The stream is stored for a minute, as that of any answer that has just ended.
    assert (await parley.get(path_of(), user="ann")).text == response.text


@pytest.mark.usefixtures("elsewhere")
async def test_a_reader_gets_an_error_when_the_function_dies_meanwhile(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [HANGS]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database, seconds_left=1)
    reader = resuming(parley.client, user="ann")
    await reader.has("how")

    response = await reader.end()

    assert parts_of(response)[-1]["type"] == "error"
    assert answers(database) == [(CUT, "interrupted", False)]


async def test_a_conversation_goes_on_with_a_recovered_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)

    response = await parley.send("And now?", message_id="message-2", user="ann")

    assert text_of(response) == WHOLE
    assert [each["content"] for each in model.requests[1]["messages"][1:]] == [
        "Hello!", CUT, "And now?",
    ]  # fmt: skip


async def test_a_message_whose_attempt_died_is_answered_again_when_it_is_sent_again(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)

    assert text_of(await parley.send("Hello!", user="ann")) == WHOLE

    assert answers(database) == [(CUT, "interrupted", True), (WHOLE, "stop", False)]
    assert await parley.said(user="ann") == ["Hello!", WHOLE]


async def test_an_anonymous_conversation_is_recovered_too(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database, user=None)

    assert await the_cron(parley) == 1

    assert answers(database) == [(CUT, "interrupted", False)]


async def test_the_cron_recovers_answers_of_inactive_users(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)
    database.execute("UPDATE users SET is_active = false")

    assert await the_cron(parley) == 1

    assert answers(database) == [(CUT, "interrupted", False)]


async def test_the_cron_leaves_a_running_answer_alone(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(until=go, pauses_after=2)]
    first = sending(parley.client)
    await first.has("how")
    await until_stored(database, "how")

    assert await the_cron(parley) == 0

    go.set()
    assert text_of(await first.end()) == WHOLE


@pytest.mark.usefixtures("elsewhere")
async def test_a_dead_attempts_answer_is_stored_once_though_many_recover_it_at_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)
    token = database.execute("SELECT turn_id, id FROM conversations").fetchone()
    assert token is not None
    turn_id, conversation_id = token

    await asyncio.gather(
        *(a_reader(parley) for _ in range(3)),
        *(the_cron(parley) for _ in range(3)),
        *(
            recover_turn(product_database(), Caller("ann"), conversation_id, turn_id)
            for _ in range(5)
        ),
        *(the_message_again(parley) for _ in range(3)),
        a_new_message(parley),
        parley.client.delete(path_of()),
    )

    stored = answers(database)
    assert [answer[:2] for answer in stored].count((CUT, "interrupted")) == 1
    assert len([answer for answer in stored if not answer[2]]) <= 2
    # One of the two messages was answered, or both, and no batch or lease is left.
    assert (WHOLE, "stop", False) in stored
    assert database.execute(
        "SELECT (SELECT count(*) FROM stream_batches), "
        "(SELECT count(*) FROM conversations WHERE turn_id IS NOT NULL)"
    ).fetchone() == (0, 0)


async def test_an_attempt_that_lost_its_lease_writes_nothing_any_more(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(until=go, pauses_after=2)]
    first = sending(parley.client)
    await first.has("how")
    await until_stored(database, "how")
    # Without batches, which prolong the lease. (One may be on its way, so the lease may need to be
    # ended twice.)
    monkeypatch.setattr(lib.answers._batches, "BATCH_SECONDS", 3600)
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 3600)
    recovered_count = 0
    while not recovered_count:
        database.execute("UPDATE conversations SET turn_expires_at = now() - interval '1 second'")
        recovered_count = await the_cron(parley)
    go.set()

    assert parts_of(await first.end())[-1]["type"] == "error"
    assert answers(database) == [(CUT, "interrupted", False)]
    assert database.execute("SELECT count(*) FROM stream_batches").fetchone() == (0,)


async def test_a_dead_attempt_without_text_leaves_no_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=3600)]
    first = sending(parley.client, user="ann")
    await until(lambda: len(model.requests) == 1)
    leave_behind(database)

    assert (await parley.get(path_of(), user="ann")).status_code == 204

    assert answers(database) == []
    assert text_of(await parley.send("Hello!", user="ann")) == WHOLE
    await first.leave()


async def test_the_next_message_takes_the_turn_of_a_dead_attempt_without_text(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_before=3600)]
    first = sending(parley.client, user="ann")
    await until(lambda: len(model.requests) == 1)
    leave_behind(database)

    # There is nothing to store, so the cron leaves it.
    assert await the_cron(parley) == 0
    await first.leave()

    model.replies = [Reply(pieces=("Hello",))]
    second = sending(parley.client, "And now?", message_id="message-2", user="ann")
    await second.has("Hello")
    await second.leave()


async def test_a_recovered_answer_counts_as_interrupted_in_the_metrics(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)
    counters().take()

    assert await the_cron(parley) == 1
    # The second recovery finds no turn, and counts none.
    assert await the_cron(parley) == 0

    finishes = {key: found for key, found in counters().take().items() if key[0] == FINISHES.name}
    assert [(key[2], found[0]) for key, found in finishes.items()] == [("interrupted", 1)]


async def test_a_dead_attempt_whose_question_was_deleted_is_given_up(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)
    # The nightly retention does this.
    database.execute("DELETE FROM chat_messages")

    await a_reader(parley)

    assert answers(database) == []
    assert text_of(await parley.send("Hello!", user="ann")) == WHOLE


async def test_a_dead_attempt_whose_answer_cannot_be_stored_is_given_up(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await cut_off(parley, model, database)
    # As if a migration had forbidden values that were allowed when the parts were stored.
    database.execute(
        "ALTER TABLE chat_messages ADD CHECK (finish_reason <> 'interrupted') NOT VALID"
    )

    assert text_of(await parley.send("Hello!", user="ann")) == WHOLE
    assert rows_of_batches(database) == 0


@pytest.mark.parametrize("parts", ['data: {"type"', "data: {}", 'data: {"type":"text-delta"}'])
async def test_a_dead_attempt_whose_parts_cannot_be_read_is_given_up(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, parts: str
) -> None:
    await cut_off(parley, model, database)
    database.execute("UPDATE stream_batches SET parts = %s", [f"{parts}\n\n"])

    assert text_of(await parley.send("Hello!", user="ann")) == WHOLE
    assert rows_of_batches(database) == 0


async def test_a_recovered_answer_has_its_tool_calls_with_their_outcomes(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, text="Let me see."), HANGS]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database)

    await a_reader(parley)

    answer = (await parley.history(user="ann"))["messages"][1]
    assert answer["finish_reason"] == "interrupted"
    [called] = [part for part in answer["parts"] if part["type"] == "tool-add_task"]
    assert (called["toolCallId"], called["state"]) == ("call_milk", "output-available")
    assert called["output"]["title"] == "Buy milk"
    assert [part["text"] for part in answer["parts"] if part["type"] == "text"] == [
        "Let me see.", CUT,
    ]  # fmt: skip


async def test_a_tool_of_a_dead_attempt_is_not_run_again_for_the_same_message(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK), HANGS, calling(MILK), Reply(pieces=("Done",))]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database)
    await the_cron(parley)

    assert text_of(await parley.send("Hello!", user="ann")) == "Done"

    assert tasks(database) == [("ann", "Buy milk")]
    *_, called, result = check_provider_form(model.requests[2])
    assert called["tool_calls"][0]["id"] == portable_id("call_milk")
    assert json.loads(result["content"])["title"] == "Buy milk"


async def test_a_recovered_answer_has_a_tool_call_whose_batch_was_lost(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [calling(MILK, text="Let me see."), HANGS]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    # Keep four parts of the first batch, which end before the call.
    leave_behind(database)
    database.execute("DELETE FROM stream_batches WHERE first_part > 0")
    database.execute(
        "UPDATE stream_batches SET part_count = 4, parts = "
        "array_to_string((string_to_array(parts, E'\\n\\n'))[:4], E'\\n\\n') || E'\\n\\n'"
    )

    response = await parley.get(path_of(), user="ann")

    answer = (await parley.history(user="ann"))["messages"][1]
    [called] = [part for part in answer["parts"] if part["type"] == "tool-add_task"]
    assert (called["toolCallId"], called["output"]["title"]) == ("call_milk", "Buy milk")
    [told] = [part for part in parts_of(response) if part["type"] == "tool-output-available"]
    assert told["output"]["title"] == "Buy milk"
    assert text_of(response) == "Let me see."


@pytest.mark.parametrize(
    ("last", "error"),
    [("tool-input-delta", "were cut"), ("tool-input-available", "not known what came of this")],
)
async def test_a_recovered_tool_call_without_outcome_says_that_it_was_cut(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, last: str, error: str
) -> None:
    model.replies = [calling(Called("list_nothing"), text="Let me see."), HANGS]
    first = sending(parley.client, user="ann")
    await first.has("how")
    await until_stored(database, "how")
    leave_behind(database)
    _cut_after(database, last)

    parts = parts_of(await parley.get(path_of(), user="ann"))

    [outcome] = [part for part in parts if part["type"] == "tool-output-error"]
    assert error in outcome["errorText"]
    answer = (await parley.history(user="ann"))["messages"][1]
    [called] = [part for part in answer["parts"] if part["type"] == "tool-list_nothing"]
    assert called["errorText"] == outcome["errorText"]
    assert text_of(await parley.send("Go on", message_id="message-2", user="ann")) == WHOLE
    check_provider_form(model.requests[2])


def _cut_after(database: psycopg.Connection, kind: str) -> None:
    """Delete all parts after the last one of a type."""
    found = database.execute(
        "DELETE FROM stream_batches RETURNING conversation_id, turn_id, first_part, parts"
    ).fetchall()
    parts = "".join(row[3] for row in sorted(found, key=lambda row: row[2]))
    events = [event.decode() for event in expand(parts.encode())]
    count = max(number for number, event in enumerate(events) if f'"{kind}"' in event) + 1
    database.execute(
        "INSERT INTO stream_batches "
        "(conversation_id, turn_id, user_id, first_part, part_count, parts) "
        "VALUES (%s, %s, 'ann', 0, %s, %s)",
        [*found[0][:2], count, "".join(events[:count])],
    )


def rows_of_batches(database: psycopg.Connection) -> int:
    """Return how many batches are stored."""
    [(count,)] = database.execute("SELECT count(*) FROM stream_batches").fetchall()
    return count
