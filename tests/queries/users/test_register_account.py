"""register_account."""

import asyncio

import pytest

from lib.database.client import Database
from lib.database.statements import Call, Nothing
from lib.problems import DatabaseNotMigrated
from lib.users.accounts import REGISTER_ACCOUNT
from tests.support.steps.rows import Rows
from tests.support.steps.turns import act_as

ALL = "SELECT id, email, name, hashed_password, is_active FROM users ORDER BY id"
ADA = ("1", "ada@example.com", "Ada", "hash of 1", True)


async def test_register_account_stores_an_account_with_its_password(
    pool: Database, rows: Rows
) -> None:
    await _register(pool, "1")

    assert rows.run(ALL) == [ADA]


async def test_register_account_sent_twice_stores_one_account(pool: Database, rows: Rows) -> None:
    for _ in range(2):
        await _register(pool, "1")

    assert rows.run(ALL) == [ADA]


async def test_an_address_with_an_account_is_not_registered_again(
    pool: Database, rows: Rows
) -> None:
    await _register(pool, "1")

    await _register(pool, "2")

    assert rows.run(ALL) == [ADA]


async def test_a_taken_address_costs_a_write_as_a_free_one_does(pool: Database, rows: Rows) -> None:
    await _register(pool, "1")
    [(before,)] = rows.run("SELECT xmin::text FROM users")

    await _register(pool, "2")

    [(after,)] = rows.run("SELECT xmin::text FROM users")
    assert after != before


async def test_a_user_of_an_identity_provider_does_not_get_a_password(
    pool: Database, rows: Rows
) -> None:
    rows.run("INSERT INTO users (id, email) VALUES ('ada', 'ada@example.com')")

    await _register(pool, "2")

    assert rows.run(ALL) == [("ada", "ada@example.com", None, None, True)]


async def test_of_many_registrations_of_one_address_at_once_one_succeeds(
    pool: Database, rows: Rows
) -> None:
    await asyncio.gather(*[_register(pool, str(number)) for number in range(20)])

    [(winner, hash_)] = rows.run("SELECT id, hashed_password FROM users")
    assert hash_ == f"hash of {winner}"


async def test_a_caller_within_the_wall_may_not_register_accounts(
    pool: Database, rows: Rows
) -> None:
    with pytest.raises(DatabaseNotMigrated):
        await pool.run(act_as("ada"), _call("1", "ada@example.com"))

    assert rows.run(ALL) == []


async def _register(pool: Database, user_id: str, email: str = "ada@example.com") -> None:
    await pool.run(_call(user_id, email))


def _call(user_id: str, email: str) -> Call[Nothing]:
    return REGISTER_ACCOUNT(
        account_id=user_id,
        account_email=email,
        account_name="Ada",
        password_hash=f"hash of {user_id}",
    )
