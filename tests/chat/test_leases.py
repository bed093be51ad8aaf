"""A lease lasts seconds and is prolonged while its attempt lives, however long the model thinks."""

import asyncio
from datetime import datetime, timedelta

import psycopg
import pytest

import lib.answers._batches
import lib.turns.turn
from lib.database._pool import ANSWER_TIMEOUT_SECONDS
from lib.turns.turn import LEASE_SECONDS
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, parts_of, problem_of, text_of
from tests.support.reading import path_of, sending, until, until_stored

WHOLE = "Hello, how are you?"
REFUSE_ANSWERS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER refuse_answers BEFORE INSERT ON chat_messages
    FOR EACH ROW WHEN (new.role = 'assistant') EXECUTE FUNCTION refuse();
"""


def lease_end(database: psycopg.Connection) -> datetime:
    """Return when the lease of the running turn ends."""
    [(ends_at,)] = database.execute("SELECT turn_expires_at FROM conversations").fetchall()
    return ends_at


async def test_a_lease_lasts_for_seconds_however_long_the_function_may_run(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(until=go)]
    first = sending(parley.client)
    await until(lambda: len(model.requests) == 1)

    [(length,)] = database.execute(
        "SELECT turn_expires_at - updated_at FROM conversations"
    ).fetchall()

    assert length == timedelta(seconds=LEASE_SECONDS)
    go.set()
    assert text_of(await first.end()) == WHOLE


def test_half_a_lease_is_longer_than_a_statement_waits_on_a_dead_connection() -> None:
    assert LEASE_SECONDS / 2 > ANSWER_TIMEOUT_SECONDS + 1


async def test_a_model_that_is_silent_for_longer_than_a_lease_keeps_its_turn(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.turns.turn, "LEASE_SECONDS", 2.0)
    go = asyncio.Event()
    model.replies = [Reply(until=go)]
    first = sending(parley.client)
    await until(lambda: len(model.requests) == 1)

    for _ in range(2):
        ends_at = lease_end(database)
        await until(lambda before=ends_at: lease_end(database) > before)
    other = await parley.send("Other", message_id="message-2")

    problem_of(other, 409, "turn_in_progress")
    go.set()
    assert text_of(await first.end()) == WHOLE


async def test_a_turn_keeps_its_lease_while_its_answer_cannot_be_stored(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.turns.turn, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(lib.answers._batches, "FINISHING_SECONDS", 0.1)
    database.execute(REFUSE_ANSWERS)
    first = sending(parley.client)
    # The whole text has come.
    await first.has("text-end")

    for _ in range(2):
        ends_at = lease_end(database)
        await until(lambda before=ends_at: lease_end(database) > before)
    database.execute("DROP TRIGGER refuse_answers ON chat_messages")

    assert parts_of(await first.end())[-1]["type"] == "finish"
    assert await parley.said() == ["Hello!", WHOLE]


async def test_no_lease_is_left_when_the_answer_is_stored(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")

    assert lease_end(database) is None


# As if the batches had been out of reach of the database for longer than a lease.
LAPSE = """
    CREATE FUNCTION lapse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        new.turn_expires_at = now() - interval '1 hour';
        RETURN new;
    END $$;
    CREATE TRIGGER lapse BEFORE UPDATE ON conversations
    FOR EACH ROW WHEN (new.turn_id IS NOT NULL) EXECUTE FUNCTION lapse();
    UPDATE conversations SET turn_expires_at = now();
"""


@pytest.mark.parametrize("pauses_after", [2, None], ids=["midway", "before its first word"])
async def test_a_lease_that_ran_out_while_its_attempt_lives_in_this_process_costs_no_second_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, pauses_after: int | None
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(until=go, pauses_after=pauses_after)]
    first = sending(parley.client)
    await until(lambda: len(model.requests) == 1)
    if pauses_after is not None:
        await until_stored(database, "how")
    database.execute(LAPSE)
    second = sending(parley.client)
    # Several looks of the second request.
    await asyncio.sleep(0.5)
    database.execute("DROP TRIGGER lapse ON conversations")
    go.set()

    assert [text_of(await each.end()) for each in (first, second)] == [WHOLE, WHOLE]
    assert len(model.requests) == 1


async def test_a_stop_reaches_an_answer_whose_lease_has_run_out(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(hangs_after=2)]
    first = sending(parley.client)
    await until_stored(database, "how")
    database.execute(LAPSE)

    stopped = await parley.client.delete(path_of())

    assert stopped.status_code == 204
    assert parts_of(await first.end())[-1] == {"type": "abort"}
    reasons = "SELECT finish_reason FROM chat_messages WHERE role = 'assistant'"
    assert database.execute(reasons).fetchall() == [("aborted",)]
