"""An application's own table `users`: it decides about access, and has no local accounts."""

import time
from typing import Any

import httpx2
import psycopg
import pytest

from dev.postgres import programs
from dev.psql import migrate
from lib.users import accounts
from tests.support.accounts import bearer, status_with
from tests.support.guests import new_guest
from tests.support.product import ROOT, Parley, problem_of, token_of

# One column has the name of a parameter of Parley's functions, and one has no default.
USERS = """
    CREATE TABLE users (
        id text PRIMARY KEY,
        user_id text,
        email text,
        name text,
        plan text NOT NULL,
        is_active boolean,
        updated_at timestamptz
    );
    INSERT INTO users VALUES
    ('ann', 'bob', 'ann@example.com', 'Ann', 'gold', FALSE),
    ('bob', 'ann', 'bob@example.com', 'Bob', 'gold', TRUE),
    ('eve', 'eve', 'eve@example.com', 'Eve', 'gold', NULL);
"""


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Return a database that had `users` before Parley."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(USERS)
    migrate(programs() / "psql", empty_database_url, ROOT)
    return empty_database_url


async def test_a_user_switched_off_in_the_applications_own_table_is_refused(parley: Parley) -> None:
    problem_of(await parley.say("Hello!", user="ann"), 403, "account_inactive")
    problem_of(await parley.get("/api/conversations", user="ann"), 403, "account_inactive")
    assert (await parley.say("Hello!", user="bob")).status_code == 200
    # Her row says neither active nor inactive.
    assert (await parley.say("Hello!", user="eve")).status_code == 200


async def test_a_user_who_cannot_be_added_to_the_applications_own_table_gets_account_unknown(
    parley: Parley, database: psycopg.Connection
) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    problem_of(await parley.say("Hello!", user="mallory"), 403, "account_unknown")
    claimed = await guest.claim("mallory")

    problem_of(claimed, 403, "account_unknown")
    assert len((await guest.history()).json()["messages"]) == 2
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(3,)]


async def test_a_user_of_the_applications_own_table_may_claim(parley: Parley) -> None:
    guest = await new_guest(parley)
    await guest.say("Hello!")

    assert (await guest.claim("bob")).status_code == 200


@pytest.mark.environment(LOCAL_ACCOUNTS="true")
@pytest.mark.parametrize("action", ["register", "login"])
async def test_local_accounts_are_refused_with_an_applications_own_users_and_hash_nothing(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    def hash_nothing(*_: Any) -> None:
        pytest.fail("a password was hashed")

    monkeypatch.setattr(accounts, "_hash", hash_nothing)
    monkeypatch.setattr(accounts, "_is_password", hash_nothing)

    response = await parley.client.post(
        "/api/auth", json={"action": action, "email": "ann@example.com", "password": "password"}
    )

    problem_of(response, 503, "local_accounts_unavailable")
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(3,)]


async def test_signing_out_everywhere_is_refused_in_words_where_the_table_has_no_column_for_it(
    parley: Parley, database: psycopg.Connection
) -> None:
    before = database.execute("SELECT users::text FROM users ORDER BY id").fetchall()

    response = await _sign_out(parley, token_of("bob"))

    problem_of(response, 409, "sign_out_unavailable")
    assert database.execute("SELECT users::text FROM users ORDER BY id").fetchall() == before
    assert (await parley.get("/api/conversations", user="bob")).status_code == 200


async def test_signing_out_everywhere_uses_the_column_that_an_application_adds_to_its_table(
    parley: Parley, database: psycopg.Connection
) -> None:
    database.execute("ALTER TABLE users ADD COLUMN tokens_valid_from timestamptz")
    now = int(time.time())
    old, new = token_of("bob", iat=now - 60), token_of("bob", iat=now + 20)

    assert (await _sign_out(parley, old)).status_code == 204

    assert [await status_with(parley, token) for token in (old, new)] == [401, 200]
    assert await status_with(parley, token_of("eve", iat=now - 60)) == 200
    problem_of(await _sign_out(parley, token_of("mallory")), 403, "account_unknown")


@pytest.mark.parametrize("value", ["", "never", "{}", "1764611054"])
async def test_a_column_of_that_name_that_holds_no_time_locks_no_user_out(
    parley: Parley, database: psycopg.Connection, value: str
) -> None:
    database.execute("ALTER TABLE users ADD COLUMN tokens_valid_from text")
    database.execute("UPDATE users SET tokens_valid_from = %s", [value])

    assert (await parley.get("/api/conversations", user="bob")).status_code == 200
    problem_of(await _sign_out(parley, token_of("bob")), 409, "sign_out_unavailable")


async def _sign_out(parley: Parley, token: str) -> httpx2.Response:
    body = {"action": "sign_out_everywhere"}
    return await parley.client.post("/api/auth", json=body, headers=bearer(token))
