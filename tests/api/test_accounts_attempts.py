"""POST /api/auth: an attacker learns nothing from a guess, and has few of them."""

import asyncio
import re
import time
from collections import Counter
from statistics import median

import httpx2
import psycopg
import pytest

from tests.support.accounts import (
    EMAIL,
    LOCAL,
    PASSWORD,
    authenticate,
    bearer,
    logged_in,
    registered,
)
from tests.support.product import REQUEST_ID, Parley, problem_of

pytestmark = LOCAL
WRONG = "another password"
ELSEWHERE = "192.0.2.1"


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


async def test_a_right_password_costs_nothing_and_clears_the_failures_before_it(
    parley: Parley, hashed: list[str]
) -> None:
    await registered(parley, client=ELSEWHERE)

    for _ in range(3):
        for _ in range(4):
            await _fails(parley)
        await logged_in(parley)
    for _ in range(40):
        await logged_in(parley)

    assert hashed


async def test_after_five_failures_an_address_and_client_wait_twice_as_long_each_time(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    await registered(parley, client=ELSEWHERE)
    for _ in range(5):
        await _fails(parley)

    waits = list[int]()
    for _ in range(11):
        hashes = len(hashed)
        refused = await authenticate(parley, "login")
        problem_of(refused, 429, "too_many_attempts")
        # Refused before it costs a hash, even with the right password.
        assert len(hashed) == hashes
        waits.append(int(refused.headers["retry-after"]))
        _wait(database)
        await _fails(parley)

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    _wait(database)
    await logged_in(parley)
    await _fails(parley)
    await logged_in(parley)


@pytest.mark.parametrize("networks", [1, 10, 100])
async def test_failures_of_strangers_leave_the_owners_network_a_log_in(
    parley: Parley, hashed: list[str], networks: int
) -> None:
    await registered(parley)
    for number in range(100):
        client = f"198.51.100.{number % networks}"
        await authenticate(parley, "login", password=WRONG, client=client)

    await logged_in(parley)

    assert hashed


async def test_an_owner_in_a_new_network_waits_seconds_after_a_hundred_failures_of_strangers(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    await registered(parley)
    for number in range(100):
        await _fails(parley, client=f"198.51.100.{number}")

    refused = await authenticate(parley, "login", client=ELSEWHERE)
    _wait(database)
    await logged_in(parley, client=ELSEWHERE)

    problem_of(refused, 429, "too_many_attempts")
    assert refused.headers["retry-after"] == "1"
    # That network is known now, so further failures elsewhere do not slow it down.
    for number in range(100, 120):
        _wait(database)
        await _fails(parley, client=f"198.51.100.{number}")
    await logged_in(parley, client=ELSEWHERE)
    assert hashed


async def test_failures_for_other_addresses_leave_a_known_network_its_log_in(
    parley: Parley, hashed: list[str]
) -> None:
    await registered(parley)
    for number in range(40):
        await authenticate(parley, "login", f"{number}@example.com", WRONG)

    await logged_in(parley)

    assert hashed


async def test_a_client_has_thirty_failures_for_all_addresses_together_before_it_waits(
    parley: Parley, hashed: list[str]
) -> None:
    answers = [
        await authenticate(parley, "login", f"{number}@example.com", WRONG) for number in range(32)
    ]

    assert Counter(response.status_code for response in answers) == {401: 30, 429: 2}
    assert len(hashed) == 30
    await _fails(parley, "x@example.com", client=ELSEWHERE)


async def test_addresses_of_one_ipv6_network_count_as_one_client(
    parley: Parley, hashed: list[str]
) -> None:
    for number in range(5):
        await _fails(parley, client=f"2001:db8:1:2::{number}")

    refused = await authenticate(parley, "login", client="2001:db8:1:2:ffff::1")

    problem_of(refused, 429, "too_many_attempts")
    await _fails(parley, client="2001:db8:1:3::1")
    assert len(hashed) == 6


async def test_of_many_wrong_passwords_at_once_all_count(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    answers = await asyncio.gather(
        *[authenticate(parley, "login", password=WRONG) for _ in range(2)]
    )
    assert Counter(response.status_code for response in answers) == {401: 2}
    assert {
        count for (count,) in database.execute("SELECT attempt_count FROM account_attempts")
    } == {2}

    answers = await asyncio.gather(
        *[authenticate(parley, "login", password=WRONG) for _ in range(40)]
    )

    assert Counter(response.status_code for response in answers) == {401: 3, 429: 37}
    assert len(hashed) == 5


async def test_a_client_may_register_ten_accounts_a_day(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    answers = [
        await authenticate(parley, "register", f"{number}@example.com") for number in range(12)
    ]

    assert Counter(response.status_code for response in answers) == {202: 10, 429: 2}
    assert 86_000 <= int(answers[-1].headers["retry-after"]) <= 86_400
    assert len(hashed) == 10
    assert database.execute("SELECT count(*) FROM users").fetchone() == (10,)
    other = await authenticate(parley, "register", "x@example.com", client=ELSEWHERE)
    assert other.status_code == 202
    database.execute("UPDATE account_attempts SET ends_at = now()")
    assert (await authenticate(parley, "register", "y@example.com")).status_code == 202


async def test_the_networks_of_one_site_share_a_hundred_registrations_and_300_failed_log_ins(
    parley: Parley, hashed: list[str]
) -> None:
    registering = [
        await authenticate(
            parley, "register", f"{number}@example.com", client=f"2001:db8:1:{number}::1"
        )
        for number in range(101)
    ]
    failing = [
        await authenticate(
            parley, "login", f"x{number}@example.com", WRONG, client=f"2001:db8:2:{number}::1"
        )
        for number in range(301)
    ]

    assert Counter(response.status_code for response in registering) == {202: 100, 429: 1}
    assert 86_000 <= int(registering[-1].headers["retry-after"]) <= 86_400
    assert Counter(response.status_code for response in failing) == {401: 300, 429: 1}
    assert failing[-1].headers["retry-after"] == "1"
    assert len(hashed) == 400
    other = await authenticate(parley, "register", "y@example.com", client="2001:db8:3::1")
    assert other.status_code == 202


async def test_registrations_of_one_address_slow_down_across_clients_and_log_ins_do_not(
    parley: Parley, hashed: list[str]
) -> None:
    answers = [
        await authenticate(parley, "register", client=f"198.51.100.{number}")
        for number in range(11)
    ]

    assert Counter(response.status_code for response in answers) == {202: 10, 429: 1}
    assert answers[-1].headers["retry-after"] == "1"
    assert len(hashed) == 10
    await logged_in(parley)


async def test_a_taken_and_a_free_address_hash_and_count_alike(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    for client in ("203.0.113.1", "203.0.113.2"):
        await authenticate(parley, "register", client=client)

    assert hashed == [PASSWORD, PASSWORD]
    counts = "SELECT attempt_count FROM account_attempts WHERE subject LIKE 'registration client %'"
    assert database.execute(counts).fetchall() == [(1,), (1,)]


async def test_an_attempt_stores_neither_address_nor_client_in_clear(
    parley: Parley, database: psycopg.Connection, hashed: list[str]
) -> None:
    await authenticate(parley, "login")

    assert hashed
    await registered(parley)
    rows = database.execute("""
        SELECT account_attempts::text FROM account_attempts
        UNION ALL SELECT known_networks::text FROM known_networks
    """).fetchall()
    assert len(rows) == 5
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

    assert {response.status_code for response in await hashing} == {202}
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
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """

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


async def _fails(parley: Parley, email: str = EMAIL, *, client: str = "203.0.113.7") -> None:
    response = await authenticate(parley, "login", email, WRONG, client=client)
    problem_of(response, 401, "wrong_credentials")


def _wait(database: psycopg.Connection) -> None:
    """Let the waits of all subjects be over."""
    database.execute("UPDATE account_attempts SET next_attempt_at = now()")
