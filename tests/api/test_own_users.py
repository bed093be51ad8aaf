"""An application's own table `users`: it decides about access, and has no local accounts."""

from typing import Any

import psycopg
import pytest

from dev.postgres import programs
from dev.psql import migrate
from lib.users import accounts
from tests.api.test_one_conversation import change
from tests.support.product import CHAT_ID, ROOT, Parley, problem_of

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
    await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(await parley.say("Hello!", user="mallory"), 403, "account_unknown")
    claimed = await change(parley, {"claim": True}, user="mallory")

    problem_of(claimed, 403, "account_unknown")
    assert len(await parley.said()) == 2
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(3,)]


async def test_a_user_of_the_applications_own_table_may_claim(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    assert (await change(parley, {"claim": True}, user="bob")).status_code == 200


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
