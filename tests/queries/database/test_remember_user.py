"""remember_user."""

import asyncio

from lib.database.acting import REMEMBER_USER
from lib.database.client import Database
from tests.support.steps.rows import Rows

ALL = "SELECT id, email, name FROM users ORDER BY id"


async def test_a_user_is_stored_at_first_sight(pool: Database, rows: Rows) -> None:
    await _remember(pool, "ada", "ada@example.com", "Ada")

    assert rows.run(ALL) == [("ada", "ada@example.com", "Ada")]
    assert rows.run("SELECT is_active, hashed_password FROM users") == [(True, None)]


async def test_a_token_with_news_refreshes_the_profile(pool: Database, rows: Rows) -> None:
    await _remember(pool, "ada", "ada@example.com", "Ada")
    rows.run("UPDATE users SET updated_at = '2020-01-01Z'")

    await _remember(pool, "ada", "lovelace@example.com", "Ada Lovelace")

    assert rows.run(ALL) == [("ada", "lovelace@example.com", "Ada Lovelace")]
    assert rows.run("SELECT updated_at > '2020-01-01Z' FROM users") == [(True,)]


async def test_a_token_without_news_writes_nothing(pool: Database, rows: Rows) -> None:
    await _remember(pool, "ada", "ada@example.com", "Ada")
    before = rows.run("SELECT ctid, xmin, updated_at FROM users")

    await _remember(pool, "ada", "ada@example.com", "Ada")
    await _remember(pool, "ada", None, None)

    assert rows.run("SELECT ctid, xmin, updated_at FROM users") == before


async def test_what_a_token_does_not_say_is_kept(pool: Database, rows: Rows) -> None:
    await _remember(pool, "ada", "ada@example.com", "Ada")

    await _remember(pool, "ada", None, "Ada Lovelace")

    assert rows.run(ALL) == [("ada", "ada@example.com", "Ada Lovelace")]


async def test_an_address_of_another_account_is_not_taken_over(pool: Database, rows: Rows) -> None:
    await _remember(pool, "ada", "ada@example.com", "Ada")
    await _remember(pool, "eve", "eve@example.com", "Eve")

    await _remember(pool, "eve", "ada@example.com", "Eve")
    await _remember(pool, "mallory", "ada@example.com", "Mallory")

    assert rows.run(ALL) == [
        ("ada", "ada@example.com", "Ada"),
        ("eve", "eve@example.com", "Eve"),
        ("mallory", None, "Mallory"),
    ]


async def test_many_who_remember_the_same_new_user_at_once_all_succeed(
    pool: Database, rows: Rows
) -> None:
    await asyncio.gather(*[_remember(pool, "ada", "ada@example.com", "Ada") for _ in range(40)])

    assert rows.run(ALL) == [("ada", "ada@example.com", "Ada")]


async def test_a_new_user_whose_address_another_is_just_taking_is_stored_without_it(
    pool: Database, rows: Rows
) -> None:
    taking = "INSERT INTO users (id, email) VALUES ('ada', 'shared@example.com')"
    async with rows.uncommitted(taking):
        second = asyncio.create_task(_remember(pool, "eve", "shared@example.com", "Eve"))
        await rows.until_waiting(1)
    await second

    assert rows.run(ALL) == [("ada", "shared@example.com", None), ("eve", None, "Eve")]


async def _remember(pool: Database, user_id: str, email: str | None, name: str | None) -> None:
    await pool.run(
        REMEMBER_USER(user_id=user_id, user_email=email, user_name=name, token_issued_at=None)
    )
