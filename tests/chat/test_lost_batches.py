"""A crash of the database loses the last batches: no answer and no reader loses a part by that."""

import asyncio
import logging
from uuid import uuid4

import psycopg
import pytest

import lib.answers._batches
from lib.answers.follow import Follower, StoredParts, StreamState
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.settings import settings
from lib.streams import parts as ui_stream
from lib.streams.compact import expand
from tests.support.left_behind import leave_behind
from tests.support.logs import events_of
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, parts_of, text_of
from tests.support.reading import path_of, resuming, sending, until_stored

PIECES = tuple(f"word{number} " for number in range(20))
ANN = Caller(user_id="ann")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Store batches quickly, and keep the log."""
    caplog.set_level(logging.INFO, "parley")
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 0.25)


def stored_stream(database: psycopg.Connection) -> str:
    """Return the stored stream of an answer that has ended, as readers get it."""
    [(parts,)] = database.execute("SELECT parts FROM finished_streams").fetchall()
    return b"".join(expand(parts.encode())).decode()


async def test_batches_lost_during_an_answer_are_stored_again_with_the_next_one(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(pieces=PIECES, until=go, pauses_after=10, hangs_after=15)]
    first = sending(parley.client, user="ann")
    await first.has("word9")
    await until_stored(database, "word9")
    database.execute("DELETE FROM stream_batches")

    go.set()

    await until_stored(database, "word14")
    found = database.execute("SELECT parts FROM stream_batches ORDER BY first_part").fetchall()
    stored = "".join(parts for (parts,) in found).encode()
    assert b"".join(expand(stored)).decode() == first.came
    assert events_of(caplog, "stream_parts_lost")
    await first.leave()


async def test_an_answer_whose_last_batches_are_lost_is_stored_with_its_whole_stream(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(pieces=PIECES, until=go, pauses_after=10)]
    first = sending(parley.client, user="ann")
    await first.has("word9")
    await until_stored(database, "word9")

    with database.transaction():
        # finish_turn waits for this transaction, and no batch comes in between.
        database.execute("SELECT FROM conversations FOR UPDATE")
        go.set()
        await first.has("word19")
        database.execute("DELETE FROM stream_batches")
        await asyncio.sleep(0.5)

    whole = await first.end()
    assert (text_of(whole), parts_of(whole)[-1]["type"]) == ("".join(PIECES), "finish")
    assert stored_stream(database) == whole.text
    assert await parley.said(user="ann") == ["Hello!", "".join(PIECES)]
    assert events_of(caplog, "stream_parts_lost")


@pytest.mark.usefixtures("elsewhere")
async def test_a_follower_waits_for_lost_parts_and_gets_each_once(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(pieces=PIECES, until=go, pauses_after=10)]
    first = sending(parley.client, user="ann")
    await first.has("word9")
    await until_stored(database, "word9")
    database.execute("DELETE FROM stream_batches")
    second = resuming(parley.client, user="ann")

    go.set()

    assert (await second.end()).text == (await first.end()).text


async def test_a_killed_answer_is_recovered_up_to_its_first_lost_part(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(pieces=PIECES, seconds_between=0.1, hangs_after=15)]
    first = sending(parley.client, user="ann")
    await until_stored(database, "word14")
    leave_behind(database)
    [(lost,), *_] = database.execute(
        "SELECT first_part FROM stream_batches WHERE first_part > 0 ORDER BY first_part"
    ).fetchall()
    database.execute("DELETE FROM stream_batches WHERE first_part = %s", [lost])

    response = await parley.get(path_of(), user="ann")

    text = text_of(response)
    assert text
    assert "word14" not in text
    assert "".join(PIECES).startswith(text)
    assert parts_of(response)[-1]["type"] == "error"
    assert await parley.said(user="ann") == ["Hello!", text]
    await first.leave()


def _rows(parts: list[bytes], first_part: int, state: StreamState) -> list[StoredParts]:
    return [StoredParts(uuid4(), state, first_part, b"".join(parts).decode())]


@pytest.mark.usefixtures("default_settings")
async def test_parts_behind_a_gap_are_read_when_the_gap_is_closed() -> None:
    pieces = [ui_stream.text_delta(0, letter) for letter in "abc"]
    follower = Follower(Database(settings()), ANN, uuid4(), uuid4())

    assert follower.add(_rows(pieces[:1], 0, "running") + _rows(pieces[2:], 2, "running"))
    assert follower.stream.parts == pieces[:1]
    assert follower.add(_rows(pieces[1:], 1, "running"))
    assert follower.stream.parts == pieces


@pytest.mark.usefixtures("default_settings")
async def test_a_reader_that_knows_more_than_is_left_of_an_answer_still_gets_its_end() -> None:
    pieces = [ui_stream.text_delta(0, letter) for letter in "abcdef"]
    end = [ui_stream.error("cut"), ui_stream.DONE]
    follower = Follower(Database(settings()), ANN, uuid4(), uuid4())
    follower.add(_rows(pieces, 0, "running"))

    follower.add(_rows(pieces[:2] + end, 0, "ended"))

    assert follower.stream.parts == pieces + end
    assert follower.stream.is_over
