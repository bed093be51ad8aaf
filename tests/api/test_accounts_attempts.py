"""POST /api/auth: an attacker learns nothing from a guess, and has few of them."""

import asyncio
import re
import time
from collections import Counter
from statistics import median

import httpx2
import psycopg
import pytest

from lib.users import accounts
from tests.support.accounts import EMAIL, LOCAL, PASSWORD, authenticate, bearer, registered
from tests.support.product import REQUEST_ID, Parley, problem_of

pytestmark = LOCAL
WRONG = "another password"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the passwords that bcrypt hashes or compares, in order, without its work."""
    done: list[str] = []

    def hash_(password: str) -> str:
        done.append(password)
        return "hash"

    def is_password(password: str, stored: str | None) -> bool:
        done.append(password)
        return stored == "hash" and password == PASSWORD

    monkeypatch.setattr(accounts, "_hash", hash_)
    monkeypatch.setattr(accounts, "_is_password", is_password)
    return done


async def test_a_wrong_password_and_an_unknown_address_get_the_same_response(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley)
    database.execute("INSERT INTO users (id, email) VALUES ('eve', 'eve@example.com')")

    answers = [
        await authenticate(parley, "login", email, WRONG)
        for email in (EMAIL, "eve@example.com", "bob@example.com")
    ]

    for response in answers:
        problem_of(response, 401, "wrong_credentials")
    assert len({re.sub(REQUEST_ID, "", response.text) for response in answers}) == 1
    assert len({_headers(response) for response in answers}) == 1


async def test_a_wrong_password_and_an_unknown_address_cost_the_same_work(
    parley: Parley, database: psycopg.Connection
) -> None:
    await registered(parley)
    database.execute("INSERT INTO users (id, email) VALUES ('eve', 'eve@example.com')")
    spent: dict[str, list[float]] = {EMAIL: [], "eve@example.com": [], "bob@example.com": []}

    for _ in range(3):
        for email, seconds in spent.items():
            before = time.process_time()
            await authenticate(parley, "login", email, WRONG)
            seconds.append(time.process_time() - before)

    known, *others = (median(seconds) for seconds in spent.values())
    # bcrypt of cost 12 takes at least 0.1 s; the rest of a request takes a hundredth of that.
    assert known > 0.05
    assert all(0.5 < other / known < 2 for other in others)


async def test_an_address_has_ten_attempts_a_minute_from_all_clients_together(
    parley: Parley, hashed: list[str]
) -> None:
    await registered(parley)

    answers = [
        await authenticate(parley, "login", password=WRONG, client=f"203.0.113.{number}")
        for number in range(11)
    ]
    right = await authenticate(parley, "login", client="198.51.100.1")

    assert Counter(response.status_code for response in answers) == {401: 10, 429: 1}
    problem_of(right, 429, "too_many_attempts")
    assert 50 <= int(right.headers["retry-after"]) <= 60
    # A refused attempt hashes nothing.
    assert len(hashed) == 11
    other = await authenticate(parley, "login", "eve@example.com", client="198.51.100.1")
    problem_of(other, 401, "wrong_credentials")


async def test_a_client_has_thirty_attempts_a_minute_for_all_addresses_together(
    parley: Parley, hashed: list[str]
) -> None:
    answers = [
        await authenticate(parley, ("login", "register")[number % 2], f"{number}@example.com")
        for number in range(32)
    ]

    assert Counter(response.status_code for response in answers) == {401: 15, 201: 15, 429: 2}
    assert len(hashed) == 30
    other = await authenticate(parley, "login", "x@example.com", client="203.0.113.8")
    problem_of(other, 401, "wrong_credentials")


async def test_attempts_are_limited_by_the_day_too_and_allowed_again_later(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    await authenticate(parley, "login")
    database.execute("UPDATE quotas SET day_count = 100 WHERE subject LIKE 'login address %'")

    refused = await authenticate(parley, "login")

    problem_of(refused, 429, "too_many_attempts")
    assert 86_000 <= int(refused.headers["retry-after"]) <= 86_400
    assert len(hashed) == 1
    database.execute("UPDATE quotas SET minute_ends_at = now(), day_ends_at = now()")
    problem_of(await authenticate(parley, "login"), 401, "wrong_credentials")


async def test_of_many_attempts_at_once_exactly_the_limit_is_checked(
    parley: Parley, hashed: list[str]
) -> None:
    answers = await asyncio.gather(
        *[authenticate(parley, "login", client=f"203.0.113.{number}") for number in range(40)]
    )

    assert Counter(response.status_code for response in answers) == {401: 10, 429: 30}
    assert len(hashed) == 10


async def test_an_attempt_stores_neither_address_nor_client_in_clear(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    await authenticate(parley, "login")

    assert len(hashed) == 1
    rows = database.execute("SELECT quotas::text FROM quotas").fetchall()
    assert len(rows) == 2
    # With the @: in three of a hundred runs a hash has "ada" among its hexadecimal digits.
    assert not any(secret in row for (row,) in rows for secret in ("ada@", "example", "203.0.113"))


async def test_other_requests_are_answered_while_passwords_are_hashed(parley: Parley) -> None:
    waits: list[float] = []
    hashing = asyncio.gather(
        *[authenticate(parley, "register", f"{number}@example.com") for number in range(6)]
    )
    while not hashing.done():
        before = time.monotonic()
        assert (await parley.get("/api/health")).status_code == 200
        waits.append(time.monotonic() - before)

    assert {response.status_code for response in await hashing} == {201}
    # Hashed on the event loop, one after the other, they would leave time for few requests.
    assert len(waits) > 10


def _headers(response: httpx2.Response) -> tuple[tuple[str, str], ...]:
    different_each_time = {"server-timing", "date"}
    return tuple(
        response for response in response.headers.items() if response[0] not in different_each_time
    )


async def test_a_message_in_flight_does_not_bring_a_deleted_account_back(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    headers = bearer((await registered(parley))["token"])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    with database.transaction():
        database.execute("DELETE FROM users")
        sending = asyncio.create_task(
            parley.client.post("/api/chat", json={"message": "Hello!"}, headers=headers)
        )
        async with asyncio.timeout(10):
            while database.execute(waiting).fetchone() == (0,):
                database.execute("SELECT pg_stat_clear_snapshot()")
                await asyncio.sleep(0.01)

    problem_of(await sending, 403, "account_unknown")
    assert database.execute("SELECT count(*) FROM users").fetchone() == (0,)
    assert hashed
