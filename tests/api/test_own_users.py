"""Where `users` is the application's own table: whom it lets in, and that nobody registers."""

from typing import Any

import psycopg
import pytest

from dev.postgres import programs
from dev.psql import migrate
from lib.users import accounts
from tests.api.test_one_conversation import change
from tests.support.product import CHAT_ID, ROOT, Parley, problem_of

# Of its columns one is named as a parameter of Parley's functions is, and one is not to be guessed.
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
    """Return a database whose `users` were there before Parley."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(USERS)
    migrate(programs() / "psql", empty_database_url, ROOT)
    return empty_database_url


async def test_who_is_switched_off_there_is_refused_and_nobody_else(parley: Parley) -> None:
    problem_of(await parley.say("Hello!", user="ann"), 403, "account_inactive")
    problem_of(await parley.get("/api/conversations", user="ann"), 403, "account_inactive")
    assert (await parley.say("Hello!", user="bob")).status_code == 200
    # Nothing is said of her.
    assert (await parley.say("Hello!", user="eve")).status_code == 200


async def test_who_is_not_in_it_and_cannot_be_added_is_told_so(
    parley: Parley, database: psycopg.Connection
) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    problem_of(await parley.say("Hello!", user="mallory"), 403, "account_unknown")
    claimed = await change(parley, {"claim": True}, user="mallory")

    problem_of(claimed, 403, "account_unknown")
    assert len(await parley.said()) == 2
    assert database.execute("SELECT count(*) FROM users").fetchall() == [(3,)]


async def test_a_user_of_it_may_claim(parley: Parley) -> None:
    await parley.say("Hello!", conversation_id=CHAT_ID)

    assert (await change(parley, {"claim": True}, user="bob")).status_code == 200


@pytest.mark.environment(LOCAL_ACCOUNTS="true")
@pytest.mark.parametrize("action", ["register", "login"])
async def test_nobody_registers_or_logs_in_there_and_no_password_is_hashed(
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
