"""find_account."""

import pytest

from lib.database.client import Database
from lib.problems import DatabaseNotMigrated
from lib.users.accounts import FIND_ACCOUNT, Account
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON, act_as


async def test_find_account_returns_the_columns_that_a_log_in_needs(
    pool: Database, rows: Rows
) -> None:
    rows.run("""
        INSERT INTO users (id, email, name, hashed_password, is_active) VALUES
        ('1', 'ada@example.com', 'Ada', 'hash', FALSE), ('2', 'eve@example.com', NULL, NULL, TRUE)
    """)

    rows.run("UPDATE users SET created_at = %s", NOON)

    ada = Account("1", "Ada", "hash", is_active=False, created_at=NOON)
    eve = Account("2", None, None, is_active=True, created_at=NOON)
    assert await _find(pool, "ada@example.com") == [ada]
    assert await _find(pool, "eve@example.com") == [eve]


@pytest.mark.parametrize("email", ["", "a", "ada@example.co", "ADA@EXAMPLE.COM", "%@example.com"])
async def test_an_unknown_address_has_no_account(pool: Database, rows: Rows, email: str) -> None:
    rows.run("INSERT INTO users (id, email) VALUES ('1', 'ada@example.com'), ('2', NULL)")

    assert await _find(pool, email) == []


async def test_a_caller_within_the_wall_may_not_find_accounts(pool: Database) -> None:
    with pytest.raises(DatabaseNotMigrated):
        await pool.run(act_as("ada"), FIND_ACCOUNT(email="ada@example.com"))


async def _find(pool: Database, email: str) -> list[Account]:
    return await pool.run(FIND_ACCOUNT(email=email))
