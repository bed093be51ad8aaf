"""What users wait for: round trips between function and database, counted on the wire."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

import lib.answers._batches
from lib.database.client import Database, database
from lib.operations.health import read_health
from tests.api.test_claims import claim
from tests.support.analyses import SLOW, analysis_reply
from tests.support.guests import new_guest
from tests.support.imports import chatgpt_of
from tests.support.model_server import ANALYSIS_MODEL, ScriptedModel
from tests.support.product import (
    CHAT_ID,
    Parley,
    forget_process,
    headers_of,
    problem_of,
    running_product,
)
from tests.support.proxy import Proxy, messages_of, proxied
from tests.support.serving import Switchboard

PATH = "/api/conversations"
ONE = f"{PATH}?id={CHAT_ID}"


@pytest.fixture
async def proxy(environment: dict[str, str]) -> AsyncGenerator[Proxy]:
    """Return a proxy before the database that the product uses."""
    async with proxied(environment["DATABASE_URL"]) as (proxy, url):
        environment["DATABASE_URL"] = url
        yield proxy


@pytest.fixture
async def parley(
    switchboard: Switchboard,
    proxy: Proxy,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[Parley]:
    """Return the product, warm: one connection is open."""
    async with running_product(switchboard, monkeypatch, environment) as running:
        await running.get("/api/health")
        proxy.forget()
        yield running


@pytest.fixture
async def fresh(
    proxy: Proxy, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Database]:
    """Return the database of a process that has just begun."""
    assert proxy.connections == 0
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_process()
    yield database()
    await database().close()
    forget_process()


async def becomes_idle(database: Database) -> None:
    """Wait until a connection is there that nobody uses."""
    async with asyncio.timeout(5):
        while database.pool_metrics()["idle"] == 0:  # noqa: ASYNC110 (it offers no event)
            await asyncio.sleep(0.01)


async def test_a_warm_history_costs_one_round_trip(parley: Parley, proxy: Proxy) -> None:
    await parley.send("Hello!")
    proxy.forget()

    await parley.history()

    assert proxy.round_trips == 1


async def test_a_warm_list_costs_one_round_trip(parley: Parley, proxy: Proxy) -> None:
    await parley.get("/api/conversations", user="ann")

    assert proxy.round_trips == 1


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("GET", {"id": CHAT_ID}, None),
        ("GET", {"q": "hello"}, None),
        ("PATCH", {"id": CHAT_ID}, {"title": "Renamed", "status": "archived"}),
        ("PATCH", {"id": CHAT_ID}, {"instructions": "Be brief."}),
        ("DELETE", {"id": CHAT_ID}, None),
        ("DELETE", {"all": "true"}, None),
    ],
)
async def test_what_is_done_with_a_conversation_costs_one_round_trip(
    parley: Parley,
    proxy: Proxy,
    method: str,
    query: dict[str, str],
    body: dict[str, object] | None,
) -> None:
    await parley.send("Hello!", user="ann")
    proxy.forget()

    response = await parley.client.request(
        method, "/api/conversations", params=query, json=body, headers=headers_of("ann")
    )

    assert response.is_success
    assert proxy.round_trips == 1


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"instructions": None})])
async def test_a_users_own_settings_cost_one_round_trip(
    parley: Parley, proxy: Proxy, method: str, body: dict[str, object] | None
) -> None:
    response = await parley.client.request(
        method, "/api/auth", json=body, headers=headers_of("ann")
    )

    assert response.is_success
    assert proxy.round_trips == 1


@pytest.mark.parametrize("user", [None, "ann"])
async def test_a_turn_costs_one_round_trip_before_the_model_and_one_after(
    parley: Parley, proxy: Proxy, model: ScriptedModel, user: str | None
) -> None:
    counted: list[int] = []
    model.on_request = lambda: counted.append(proxy.round_trips)

    await parley.send("Hello!", user=user)

    assert counted == [1]
    assert proxy.round_trips == 2


@pytest.mark.environment(OPENAI_ANALYSIS_MODEL=ANALYSIS_MODEL)
async def test_an_analysis_that_is_there_with_the_answer_costs_none(
    parley: Parley, proxy: Proxy, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beside a slow answer, its parts are stored; that is another matter.
    monkeypatch.setattr(lib.answers._batches, "BATCH_SECONDS", 60)
    monkeypatch.setattr(lib.answers._batches, "UNFOLLOWED_SECONDS", 60)
    model.default, model.analysis_reply = SLOW, analysis_reply()

    await parley.say("Hello!")

    assert len(model.analysis_requests) == 1
    assert proxy.round_trips == 2


async def test_a_replayed_answer_costs_one_round_trip(parley: Parley, proxy: Proxy) -> None:
    await parley.send("Hello!")
    proxy.forget()

    await parley.send("Hello!")

    assert proxy.round_trips == 1


WARM: dict[str, tuple[str, str, object, str]] = {
    "one conversation": ("GET", ONE, None, "ann"),
    "renaming": ("PATCH", ONE, {"title": "New"}, "ann"),
    "archiving": ("PATCH", ONE, {"status": "archived"}, "ann"),
    "deleting": ("DELETE", ONE, None, "ann"),
    "a search": ("GET", f"{PATH}?q=hello", None, "ann"),
    # Also of nothing: the account may have been deleted.
    "an import": ("POST", f"{PATH}?import=chatgpt", [chatgpt_of()], "ann"),
    "an import of nothing": ("POST", f"{PATH}?import=chatgpt", [], "ann"),
}


@pytest.mark.parametrize("name", WARM)
async def test_whatever_is_done_with_conversations_costs_one_round_trip(
    parley: Parley, proxy: Proxy, name: str
) -> None:
    method, path, body, user = WARM[name]
    await parley.send("Hello!", user=user)
    proxy.forget()

    response = await parley.client.request(method, path, json=body, headers=headers_of(user))

    assert response.is_success, response.text
    assert proxy.round_trips == 1


async def test_a_guest_with_a_key_costs_as_many_round_trips_as_a_user(
    parley: Parley, proxy: Proxy
) -> None:
    counted: list[int] = []
    guest = await new_guest(parley)
    counted.append(proxy.round_trips)
    for request in (guest.say("Hello!"), guest.history(), guest.stream(), guest.rename("New")):
        proxy.forget()
        assert (await request).is_success
        counted.append(proxy.round_trips)
    proxy.forget()
    problem_of(await replace(guest, key=None).history(), 404, "not_found")
    counted.append(proxy.round_trips)
    proxy.forget()
    assert (await claim(parley, guest)).is_success
    counted.append(proxy.round_trips)
    proxy.forget()
    assert (await guest.delete()).is_success
    counted.append(proxy.round_trips)

    # To begin costs none; a turn has two; a guess is counted in the round trip of the read.
    assert counted == [0, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.environment(MESSAGES_PER_MINUTE="1")
@pytest.mark.parametrize("user", [None, "ann"])
async def test_a_message_over_the_quota_costs_one_round_trip(
    parley: Parley, proxy: Proxy, user: str | None
) -> None:
    await parley.send("Hello!", user=user)
    proxy.forget()

    response = await parley.send("Again!", message_id="message-2", user=user)

    problem_of(response, 429, "quota_exceeded")
    assert proxy.round_trips == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/tasks", None),
        ("POST", "/api/tasks", {"title": "Buy milk"}),
        ("PATCH", "/api/tasks?id=1", {"completed": True}),
        ("DELETE", "/api/tasks?id=1", None),
        ("GET", "/api/messages?is_mistake=true", None),
        ("GET", "/api/messages?usage=true", None),
        ("PATCH", f"/api/messages?id=x&conversation_id={CHAT_ID}", {"is_mistake": True}),
    ],
)
async def test_whatever_a_user_asks_of_tasks_and_messages_costs_one_round_trip(
    parley: Parley, proxy: Proxy, method: str, path: str, body: dict[str, object] | None
) -> None:
    response = await parley.client.request(method, path, json=body, headers=headers_of("ann"))

    assert response.status_code in {200, 201, 404}
    assert proxy.round_trips == 1


async def test_the_first_history_of_a_process_costs_at_most_five_round_trips(
    switchboard: Switchboard,
    environment: dict[str, str],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_product(switchboard, monkeypatch, environment) as fresh:
        await fresh.get("/api/history", conversation_id=CHAT_ID)

        assert proxy.connections == 1
        assert proxy.round_trips <= 5


async def test_the_first_step_finds_the_connection_that_was_begun_ahead(
    fresh: Database, proxy: Proxy
) -> None:
    fresh.connect_ahead()
    fresh.connect_ahead()
    await becomes_idle(fresh)
    assert proxy.connections == 1
    proxy.forget()

    await read_health(fresh)

    assert (proxy.connections, proxy.round_trips) == (0, 1)


async def test_a_step_that_comes_meanwhile_waits_for_that_connection(
    fresh: Database, proxy: Proxy
) -> None:
    proxy.delay_seconds = 0.1
    fresh.connect_ahead()
    await asyncio.sleep(0.05)

    assert (await read_health(fresh))["status"] == "ok"
    assert proxy.connections == 1


async def test_what_is_begun_ahead_in_vain_harms_nothing(fresh: Database, proxy: Proxy) -> None:
    proxy.refuses = True
    fresh.connect_ahead()
    await asyncio.sleep(0.1)
    proxy.refuses = False

    assert (await read_health(fresh))["status"] == "ok"


async def test_what_is_begun_ahead_ends_with_the_process(fresh: Database) -> None:
    before = asyncio.all_tasks()
    fresh.connect_ahead()
    await asyncio.sleep(0)

    await fresh.close()

    async with asyncio.timeout(1):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 (it offers no event)
            await asyncio.sleep(0.01)


async def test_a_message_without_a_model_begins_nothing(
    switchboard: Switchboard,
    environment: dict[str, str],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del environment["OPENAI_API_KEY"]
    async with running_product(switchboard, monkeypatch, environment) as fresh:
        problem_of(await fresh.send("Hello!"), 503, "model_not_configured")

        assert proxy.connections == 0


async def test_nothing_is_sent_that_pgbouncer_in_transaction_mode_would_not_take(
    parley: Parley, proxy: Proxy
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")
    assert (await claim(parley, guest)).is_success
    assert (await guest.delete()).is_success
    # To a user, the same name is another conversation.
    for user in (None, "ann"):
        await parley.send("Hello!", user=user)
    for name in ("one conversation", "renaming", "a search", "an import", "deleting"):
        method, path, body, _ = WARM[name]
        response = await parley.client.request(method, path, json=body, headers=headers_of("ann"))
        assert response.is_success, response.text
    for method, path in (("GET", PATH), ("GET", f"{PATH}?export=true"), ("DELETE", "/api/auth")):
        await parley.client.request(method, path, headers=headers_of("ann"))

    sent = messages_of(bytes(proxy.sent))
    # Parse, Bind, Describe, Execute, Flush, Sync, Terminate: no simple Query, no Close.
    assert {kind for kind, _ in sent} <= {"P", "B", "D", "E", "H", "S", "X"}
    parsed = [content.split(b"\0") for kind, content in sent if kind == "P"]
    assert parsed
    assert {name for name, *_ in parsed} == {b""}
    first_words = {text.split()[0].upper() for _, text, *_ in parsed}
    assert first_words <= {b"SELECT", b"WITH", b"UPDATE", b"INSERT", b"DELETE"}
