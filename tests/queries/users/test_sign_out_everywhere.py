"""sign_out_everywhere: the caller's tokens until now are over."""

from datetime import UTC, datetime, timedelta

from lib.database.acting import remember_user
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.users.accounts import SIGN_OUT_EVERYWHERE
from tests.support.steps.rows import Rows

ADA = Caller("ada")
ALL = "SELECT id, tokens_valid_from FROM users ORDER BY id"


async def test_the_time_is_stored_for_the_caller_alone(pool: Database, rows: Rows) -> None:
    rows.run("INSERT INTO users (id) VALUES ('ada'), ('eve')")

    await pool.run_as(ADA, None, SIGN_OUT_EVERYWHERE())

    [(_, valid_from), of_eve] = rows.run(ALL)
    assert isinstance(valid_from, datetime)
    assert abs(valid_from - datetime.now(UTC)) < timedelta(minutes=1)
    assert of_eve == ("eve", None)


async def test_signing_out_again_is_later_even_if_the_clock_was_set_back(
    pool: Database, rows: Rows
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    rows.run("INSERT INTO users (id, tokens_valid_from) VALUES ('ada', %s)", ahead)

    await pool.run_as(ADA.following(), None, SIGN_OUT_EVERYWHERE())

    assert rows.run(ALL) == [("ada", ahead + timedelta(microseconds=1))]


async def test_a_user_who_was_never_seen_is_stored_first(pool: Database, rows: Rows) -> None:
    await pool.run_as(ADA, None, remember_user(ADA), SIGN_OUT_EVERYWHERE())

    [(user_id, valid_from)] = rows.run(ALL)
    assert user_id == "ada"
    assert valid_from is not None
