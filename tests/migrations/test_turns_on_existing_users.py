"""A turn works on the customer's own `users`, whatever else that table has or lacks."""

from collections.abc import AsyncIterator

import pytest

from lib.database.acting import REMEMBER_USER
from lib.problems import AccountInactive
from tests.migrations.test_existing_tables import USERS_THAT_SERVE
from tests.support.product import forget_process
from tests.support.servers import Site
from tests.support.steps.turns import Turns, open_database


@pytest.fixture
async def turns(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Turns]:
    """Return turns in the site's database."""
    monkeypatch.setenv("DATABASE_URL", site.url)
    forget_process()
    database = open_database(site.url)
    yield Turns(database)
    await database.close()
    forget_process()


@pytest.mark.parametrize("users", USERS_THAT_SERVE.values(), ids=list(USERS_THAT_SERVE))
async def test_a_known_user_has_a_turn_and_the_table_stays_as_it_was(
    site: Site, turns: Turns, users: str
) -> None:
    site.run(users)
    before = site.schema("--table=users"), site.rows("SELECT * FROM users")
    site.migrate()

    begun = await turns.begin(user_id="ada")
    await turns.finish(begun)

    assert (await turns.begin(user_id="ada")).verdict == "answered"
    assert (site.schema("--table=users"), site.rows("SELECT * FROM users")) == before


@pytest.mark.parametrize("users", ["an id and nothing else", "a unique text as id"])
async def test_a_user_who_is_new_to_the_customers_table_is_added(
    site: Site, turns: Turns, users: str
) -> None:
    site.run(USERS_THAT_SERVE[users])
    site.migrate()

    assert (await turns.begin(user_id="eve")).verdict == "taken"
    assert site.rows("SELECT id FROM users ORDER BY id") == [("ada",), ("eve",)]


async def test_a_profile_is_refreshed_where_the_customers_table_has_one(
    site: Site, turns: Turns
) -> None:
    site.run(USERS_THAT_SERVE["a profile and more"])
    site.migrate()

    await turns.database.run(
        REMEMBER_USER(
            user_id="ada", user_email="new@example.com", user_name="Ada L.", token_issued_at=None
        )
    )

    columns = "id, email, name, plan, updated_at > '2025-01-01Z'"
    assert site.rows(f"SELECT {columns} FROM users") == [
        ("ada", "new@example.com", "Ada L.", "gold", True)
    ]


async def test_a_user_whom_the_customer_has_switched_off_is_refused(
    site: Site, turns: Turns
) -> None:
    site.run(USERS_THAT_SERVE["a profile and more"] + "UPDATE users SET is_active = false")
    site.migrate()

    with pytest.raises(AccountInactive):
        await turns.begin(user_id="ada")
