"""change_password: a new password ends every earlier token."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from lib.database.client import Database
from lib.database.statements import Call
from lib.problems import DatabaseNotMigrated
from lib.users.accounts import CHANGE_PASSWORD, FINISH_LOG_IN, TokenTime
from tests.support.steps.rows import Rows
from tests.support.steps.turns import act_as

ALL = "SELECT id, hashed_password, tokens_valid_from FROM users ORDER BY id"


@pytest.fixture(autouse=True)
def _accounts(rows: Rows) -> None:
    rows.run("INSERT INTO users (id, hashed_password) VALUES ('ada', 'old'), ('eve', 'old')")


async def test_a_change_of_password_returns_the_time_from_which_tokens_are_valid(
    pool: Database, rows: Rows
) -> None:
    issued_at = await _change(pool)

    assert issued_at is not None
    assert abs(issued_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert rows.run(ALL) == [("ada", "new", issued_at), ("eve", "old", None)]


async def test_each_change_is_later_than_the_one_before_even_if_the_clock_was_set_back(
    pool: Database, rows: Rows
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    rows.run("UPDATE users SET tokens_valid_from = %s", ahead)

    assert await _change(pool) == ahead + timedelta(microseconds=1)


@pytest.mark.parametrize(("account_id", "hash_"), [("ada", "another"), ("bob", "old")])
async def test_a_password_that_was_changed_meanwhile_is_not_changed_again(
    pool: Database, rows: Rows, account_id: str, hash_: str
) -> None:
    before = rows.run(ALL)

    assert await _change(pool, account_id, hash_) is None

    assert rows.run(ALL) == before


async def test_of_many_changes_at_once_one_succeeds(pool: Database, rows: Rows) -> None:
    changes = await asyncio.gather(*[_change(pool, new=f"new {n}") for n in range(10)])

    [winner] = [number for number, issued_at in enumerate(changes) if issued_at is not None]
    assert rows.run(ALL)[0] == ("ada", f"new {winner}", changes[winner])


async def test_a_change_is_later_than_a_token_whose_log_in_it_had_to_wait_for(
    pool: Database, rows: Rows
) -> None:
    log_in = FINISH_LOG_IN(
        account_id="ada",
        checked_hash="old",
        new_hash=None,
        subjects=["pair"],
        counted_at=None,
        networks_kept=1,
    )
    sql = log_in.statement.sql.replace("%(counted_at)s", "now()")
    async with rows.uncommitted(sql, dict(log_in.parameters)):
        changing = asyncio.create_task(_change(pool))
        await rows.until_waiting(1)
        waited_until = datetime.now(UTC)

    changed_at = await changing
    assert changed_at is not None
    assert changed_at > waited_until


async def test_the_networks_of_an_account_are_forgotten_but_for_the_one_of_the_change(
    pool: Database, rows: Rows
) -> None:
    rows.run("""
        INSERT INTO known_networks VALUES
        ('here', 'ada', now()), ('there', 'ada', now()), ('of eve', 'eve', now())
    """)

    await _change(pool)

    assert rows.run("SELECT subject FROM known_networks ORDER BY 1") == [("here",), ("of eve",)]


async def test_a_caller_within_the_wall_may_not_change_passwords(pool: Database) -> None:
    with pytest.raises(DatabaseNotMigrated):
        await pool.run(act_as("ada"), _call())


async def _change(
    pool: Database, account_id: str = "ada", hash_: str = "old", new: str = "new"
) -> datetime | None:
    [changed] = await pool.run(_call(account_id, hash_, new))
    return changed.issued_at


def _call(account_id: str = "ada", hash_: str = "old", new: str = "new") -> Call[TokenTime]:
    return CHANGE_PASSWORD(
        account_id=account_id, checked_hash=hash_, password_hash=new, network_subject="here"
    )
