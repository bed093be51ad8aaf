"""A database that is gone for a moment costs a short wait; one that stays away is a 503."""

import asyncio
import time
from collections.abc import AsyncGenerator

import psycopg
import pytest

import lib.conversations.conversation
import lib.database.client
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import (
    CHAT_ID,
    Parley,
    id_of,
    parts_of,
    problem_of,
    running_product,
    text_of,
)
from tests.support.proxy import Proxy, proxied
from tests.support.serving import Switchboard

pytestmark = pytest.mark.environment(DB_POOL_TIMEOUT="2")


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
    """Return the product, with a few connections open."""
    async with running_product(switchboard, monkeypatch, environment) as running:
        await asyncio.gather(*(running.get("/api/health") for _ in range(4)))
        assert proxy.connections >= 2
        yield running


async def test_connections_that_died_while_idle_are_replaced(parley: Parley, proxy: Proxy) -> None:
    proxy.cut()

    response = await parley.send("Hello!")

    assert text_of(response) == "Hello, how are you?"


async def test_a_turn_whose_reply_from_the_database_was_lost_is_not_begun_twice(
    parley: Parley, proxy: Proxy, model: ScriptedModel
) -> None:
    proxy.cuts_answers = True

    response = await parley.send("Hello!")

    assert text_of(response) == "Hello, how are you?"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]
    assert len(model.requests) == 1


async def test_an_answer_is_stored_once_though_the_reply_from_the_database_was_lost(
    parley: Parley, proxy: Proxy, model: ScriptedModel
) -> None:
    def cut_next_answer() -> None:
        proxy.cuts_answers = True

    model.on_request = cut_next_answer

    parts = parts_of(await parley.send("Hello!"))

    assert parts[-1]["type"] == "finish"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


async def test_an_answer_is_stored_when_the_database_comes_back_before_the_deadline(
    parley: Parley, proxy: Proxy, model: ScriptedModel
) -> None:
    def go_away() -> None:
        proxy.refuses = True
        proxy.cut()

    model.on_request = go_away
    sending = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(3)
    proxy.refuses = False

    parts = parts_of(await sending)

    assert parts[-1]["type"] == "finish"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


@pytest.mark.environment(DB_POOL_TIMEOUT="1", MAX_DURATION_SECONDS="5")
async def test_a_stream_whose_answer_cannot_be_stored_ends_in_an_error(
    parley: Parley, proxy: Proxy, model: ScriptedModel
) -> None:
    def go_away() -> None:
        proxy.refuses = True
        proxy.cut()

    model.on_request = go_away

    response = await parley.send("Hello!")

    assert text_of(response) == "Hello, how are you?"
    assert parts_of(response)[-1]["type"] == "error"
    assert "not be stored" in parts_of(response)[-1]["errorText"]


async def test_a_database_that_stays_away_is_a_503_within_the_time_out(
    parley: Parley, proxy: Proxy
) -> None:
    proxy.refuses = True
    proxy.cut()
    started = time.monotonic()

    response = await parley.send("Hello!")

    assert time.monotonic() - started < 3
    problem_of(response, 503, "database_unavailable")
    assert response.headers["retry-after"]
    problem_of(await parley.get("/api/health"), 503, "database_unavailable")


async def test_a_connection_to_a_silent_database_is_given_up_and_replaced(
    parley: Parley, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.database.client, "ANSWER_TIMEOUT_SECONDS", 0.5)
    proxy.freeze()
    started = time.monotonic()

    response = await parley.get("/api/health")

    assert response.status_code == 200
    assert time.monotonic() - started < 2.5


async def test_the_rows_of_a_request_that_was_given_up_reach_no_other_request(
    parley: Parley, proxy: Proxy
) -> None:
    first, second = await parley.say("mine", user="ann"), await parley.say("yours", user="bob")
    proxy.delay_seconds = 0.05
    connections = proxy.connections
    ids = [("ann", first.json()["conversation_id"]), ("bob", second.json()["conversation_id"])]

    for round_ in range(20):
        user, chat_id = ids[round_ % 2]
        asking = asyncio.create_task(
            lib.database.client.database().run(
                lib.conversations.conversation.FIND_CONVERSATION(
                    conversation_id=chat_id, user_id=user
                )
            )
        )
        await asyncio.sleep(0.01)
        asking.cancel()
        said = await parley.said(chat_id, user=user)
        assert said[0] == {"ann": "mine", "bob": "yours"}[user]
    # Cancelling the statement would have needed a connection of its own.
    assert proxy.connections == connections


async def test_a_conversation_deleted_during_its_answer_ends_the_answer(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(seconds_between=0.2)]
    sending = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(0.3)
    database.execute("DELETE FROM conversations")

    parts = parts_of(await sending)

    assert parts[-1]["type"] == "error"
    assert "deleted" in parts[-1]["errorText"]


@pytest.mark.environment(DB_POOL_TIMEOUT="10")
async def test_a_database_that_takes_too_long_to_store_an_answer_is_asked_again(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model.replies = [Reply(seconds_before=0.5)]
    monkeypatch.setattr(lib.database.client, "TIMEOUT_MS", 700)
    sending = asyncio.create_task(parley.send("Hello!"))
    await _asked(model)

    with database.transaction():
        database.execute("SELECT FROM conversations FOR UPDATE")
        await asyncio.sleep(1.5)

    assert parts_of(await sending)[-1]["type"] == "finish"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


async def test_a_database_that_ends_its_sessions_is_not_noticed(
    parley: Parley, database: psycopg.Connection
) -> None:
    # Through PgBouncer the request at times gets a session that the server is ending.
    for number in range(20):
        _end_sessions(database)
        response = await parley.say("Hello!", conversation_id=id_of(number))

        assert response.status_code == 200, response.text


@pytest.mark.environment(DB_POOL_TIMEOUT="10")
async def test_a_response_whose_turn_cannot_be_released_is_a_problem(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model.replies = [Reply(seconds_before=0.5, status=500)]
    monkeypatch.setattr(lib.database.client, "TIMEOUT_MS", 1000)
    sending = asyncio.create_task(parley.say("Hello!", conversation_id=CHAT_ID))
    await _asked(model)

    with database.transaction():
        database.execute("SELECT FROM conversations FOR UPDATE")
        response = await sending

    assert response.status_code >= 500
    assert response.headers["x-conversation-id"]


async def test_a_second_finish_turn_finds_the_answer_of_a_first_one_that_waited(
    parley: Parley,
    model: ScriptedModel,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lib.database.client, "ANSWER_TIMEOUT_SECONDS", 0.5)
    model.replies = [Reply(seconds_before=0.5)]
    sending = asyncio.create_task(parley.send("Hello!"))
    await _asked(model)

    with database.transaction():
        database.execute("SELECT FROM conversations FOR UPDATE")
        await asyncio.sleep(1.2)

    assert parts_of(await sending)[-1]["type"] == "finish"
    assert await parley.said() == ["Hello!", "Hello, how are you?"]


@pytest.mark.environment(DB_POOL_TIMEOUT="2", MAX_DURATION_SECONDS="5")
async def test_a_database_that_stays_silent_is_a_503_within_the_time_out(
    parley: Parley, proxy: Proxy
) -> None:
    proxy.freeze()
    proxy.refuses = True
    started = time.monotonic()

    response = await parley.get("/api/history", conversation_id=CHAT_ID)

    problem_of(response, 503, "database_unavailable")
    assert time.monotonic() - started < 3


async def _asked(model: ScriptedModel) -> None:
    """Wait until the model is asked: the turn is taken, and no statement runs."""
    async with asyncio.timeout(10):
        while not model.requests:  # noqa: ASYNC110 (a test's own pace)
            await asyncio.sleep(0.01)


def _end_sessions(database: psycopg.Connection) -> None:
    """End all other sessions, as a server that shuts down does."""
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_an_error_of_the_database_is_logged_without_the_users_message(
    parley: Parley, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # The error of a constraint shows the row, unless row-level security forbids it, as here.
    database.execute("ALTER TABLE chat_messages ADD CONSTRAINT never CHECK (content <> 'My heart')")

    problem_of(await parley.say("My heart", user="ann"), 409, "refused_by_rule")

    assert r"violates check constraint \"never\"" in caplog.text
    assert "My heart" not in caplog.text
