"""Batches are stored beside the stream: a slow or absent database delays and loses no token."""

import asyncio
import time
from collections.abc import AsyncGenerator

import psycopg
import pytest

import lib.answers._batches
import lib.database.client
from lib.answers._batches import BatchedStream
from lib.streams.compact import expand
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, id_of, parts_of, running_product, text_of
from tests.support.proxy import Proxy, proxied
from tests.support.reading import Reading, path_of, resuming, sending, until, until_stored
from tests.support.serving import Switchboard

pytestmark = pytest.mark.environment(DB_POOL_TIMEOUT="1")
PIECES = tuple(f"word{number} " for number in range(20))
STEADY = Reply(pieces=PIECES, seconds_between=0.1)


@pytest.fixture
async def proxy(environment: dict[str, str]) -> AsyncGenerator[Proxy]:
    """Return a proxy between the product and its database."""
    async with proxied(environment["DATABASE_URL"]) as (proxy, url):
        proxy.delay_seconds = 0
        environment["DATABASE_URL"] = url
        yield proxy


@pytest.fixture
async def parley(
    switchboard: Switchboard,
    proxy: Proxy,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product behind the proxy."""
    assert proxy.round_trips == 0
    async with running_product(switchboard, monkeypatch, environment) as running:
        yield running


def _batched() -> list[BatchedStream]:
    """Return the streams of this process that are stored in batches."""
    tasks = lib.answers._batches._batch_tasks.values()
    return [batched for task in tasks for batched in task._streams]


async def longest_wait(reading: Reading) -> float:
    """Return the longest time, in seconds, between two words until the last."""
    longest, last = 0.0, time.monotonic()
    for piece in PIECES:
        await reading.has(piece)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


async def begun(parley: Parley, model: ScriptedModel, reply: Reply) -> Reading:
    """Begin an answer, and return the reading of its stream."""
    model.replies = [reply]
    reading = sending(parley.client)
    await reading.has("text-delta")
    return reading


def stored_stream(database: psycopg.Connection) -> str:
    """Return the stored stream of an answer that has ended, as readers get it."""
    [(parts,)] = database.execute("SELECT parts FROM finished_streams").fetchall()
    return b"".join(expand(parts.encode())).decode()


async def test_the_first_parts_are_stored_at_once_and_then_no_more_than_a_batch_a_second(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 3600)
    go = asyncio.Event()
    first = await begun(parley, model, Reply(pieces=PIECES, until=go, pauses_after=5))
    await until_stored(database, "word0")
    [(count,)] = database.execute("SELECT part_count FROM stream_batches").fetchall()

    go.set()

    whole = (await first.end()).text
    # Five words behind the beginnings of the answer, of its step and of its text.
    assert 0 < count <= 8
    assert stored_stream(database) == whole


@pytest.mark.usefixtures("elsewhere")
async def test_an_answer_that_another_process_follows_is_stored_in_quick_batches(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = asyncio.Event()
    reply = Reply(pieces=PIECES, until=go, pauses_after=5, hangs_after=10)
    first = await begun(parley, model, reply)
    await until_stored(database, "word4")
    second = resuming(parley.client)
    await second.has("word4")
    await until(lambda: any(each.is_followed for each in _batched()))
    # From here on an answer that is not followed would store nothing more.
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 3600)
    go.set()

    await second.has("word9")
    await first.leave()
    await second.leave()


async def test_an_answer_that_no_other_process_follows_is_not_marked(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    first = await begun(parley, model, Reply(hangs_after=2))
    await until_stored(database, "how")
    second = resuming(parley.client)
    await second.has("how")

    # The reader reads from the process that makes the answer.
    marks = "SELECT count(*) FROM stream_batches WHERE followed_at IS NOT NULL"
    assert database.execute(marks).fetchone() == (0,)

    await first.leave()
    await second.leave()


async def test_batches_have_no_gaps_and_are_deleted_with_the_answers_end(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 0.25)
    first = await begun(parley, model, Reply(pieces=PIECES, seconds_between=0.05))
    await first.has("word15")
    batches = database.execute(
        "SELECT first_part, part_count FROM stream_batches ORDER BY first_part"
    ).fetchall()

    whole = (await first.end()).text

    # Without gaps, and fewer batches than tokens.
    ends = [start + count for start, count in batches]
    assert [start for start, _ in batches] == [0, *ends[:-1]]
    assert 1 <= len(batches) <= 8
    assert stored_stream(database) == whole
    assert database.execute("SELECT count(*) FROM stream_batches").fetchone() == (0,)


async def test_a_batch_of_much_text_is_stored_before_its_time(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.answers._batches, "BATCH_SECONDS", 3600)
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 3600)
    go = asyncio.Event()
    pieces = ("x" * 3000, "y" * 20_000, "end")
    first = await begun(
        parley, model, Reply(pieces=pieces, until=go, pauses_after=1, hangs_after=2)
    )

    await until_stored(database, "xxx")
    go.set()
    await until_stored(database, "yyy")

    await first.leave()


async def test_a_database_that_falls_silent_delays_no_token_and_loses_none(
    parley: Parley,
    model: ScriptedModel,
    proxy: Proxy,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.database.client, "ANSWER_TIMEOUT_SECONDS", 0.5)
    first = await begun(parley, model, STEADY)
    await until_stored(database, "word1")
    proxy.freeze()
    proxy.refuses = True

    longest = await longest_wait(first)
    proxy.refuses = False

    assert longest < 1
    whole = await first.end()
    assert (text_of(whole), parts_of(whole)[-1]["type"]) == ("".join(PIECES), "finish")
    assert stored_stream(database) == whole.text
    assert await parley.said() == ["Hello!", "".join(PIECES)]


async def test_a_slow_database_delays_no_token(
    parley: Parley, model: ScriptedModel, proxy: Proxy, database: psycopg.Connection
) -> None:
    first = await begun(parley, model, STEADY)
    proxy.delay_seconds = 1.5

    assert await longest_wait(first) < 1

    proxy.delay_seconds = 0
    whole = (await first.end()).text
    assert stored_stream(database) == whole


@pytest.mark.usefixtures("elsewhere")
async def test_a_batch_whose_outcome_is_unknown_is_stored_once(
    parley: Parley, proxy: Proxy, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    first = await begun(parley, model, Reply(pieces=PIECES, until=go, pauses_after=10))
    proxy.refuses = True
    proxy.cuts_answers = True
    await first.has("word9")
    await until(lambda: not proxy.cuts_answers)
    go.set()
    await first.has("word19")
    # The model has ended by now; finish_turn finds out which parts are stored.
    await asyncio.sleep(0.2)
    proxy.refuses = False

    whole = (await first.end()).text

    assert len(model.requests) == 1
    assert stored_stream(database) == whole
    assert (await parley.get(path_of())).text == whole


@pytest.mark.usefixtures("elsewhere")
async def test_a_batch_whose_outcome_was_lost_is_sent_again_with_the_parts_since(
    parley: Parley, model: ScriptedModel, proxy: Proxy, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    first = await begun(parley, model, Reply(pieces=PIECES, until=go, pauses_after=10))
    await first.has("word9")
    proxy.cuts_answers = True
    await until_stored(database, "word9")
    second = resuming(parley.client)
    await second.has("word9")

    go.set()

    assert (await second.end()).text == (await first.end()).text


@pytest.mark.environment(DB_POOL_TIMEOUT="10")
async def test_a_locked_conversation_does_not_keep_batches_of_others_from_being_stored(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    model.replies = [Reply(pieces=PIECES, until=go, pauses_after=5, hangs_after=10)]
    held = sending(parley.client, chat_id=id_of("held"))
    await held.has("word4")
    await until_stored(database, "word4")

    with database.transaction():
        database.execute("SELECT FROM conversations FOR UPDATE")
        go.set()
        await held.has("word9")
        model.replies = [Reply(hangs_after=2)]
        other = sending(parley.client, chat_id=id_of("other"))
        await other.has("how")
        await until_stored(database, "how")

    await until_stored(database, "word9")


async def test_no_batch_is_left_when_another_process_ends_the_turn_at_that_moment(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    first = await begun(parley, model, Reply(pieces=PIECES, seconds_between=0.1))
    await first.has("word3")

    with database.transaction():
        # These statements are those of a recovery's finish_turn.
        database.execute("SELECT FROM conversations FOR UPDATE")
        database.execute("UPDATE conversations SET turn_id = NULL, turn_expires_at = NULL")
        database.execute("DELETE FROM stream_batches")
        await first.has("word9")

    assert parts_of(await first.end())[-1]["type"] == "error"
    assert database.execute("SELECT count(*) FROM stream_batches").fetchone() == (0,)


@pytest.mark.environment(DB_POOL_TIMEOUT="10")
async def test_no_batches_are_stored_while_finish_turn_runs(
    parley: Parley, proxy: Proxy, model: ScriptedModel, database: psycopg.Connection
) -> None:
    go = asyncio.Event()
    first = await begun(parley, model, Reply(pieces=PIECES, until=go, pauses_after=10))
    proxy.forget()

    with database.transaction():
        database.execute("SELECT FROM conversations FOR UPDATE")
        go.set()
        await until(lambda: b"finish_turn" in proxy.sent)
        proxy.forget()
        await asyncio.sleep(4 * lib.answers._batches.BATCH_SECONDS)
        assert proxy.sent == b""

    assert text_of(await first.end()) == "".join(PIECES)
