"""Tasks work on the customer's own `tasks`: numbers of type integer, times without a zone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from lib.conversations.changes import claim_conversation
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.problems import AccountUnknown
from lib.users.bodies import NewTask, TaskChange
from lib.users.tasks import TaskQuery, add_task, add_task_call, change_task, delete_task, list_tasks
from tests.migrations.test_existing_tables import TASKS, USERS_THAT_SERVE
from tests.support.product import forget_process
from tests.support.servers import Site
from tests.support.steps.turns import open_database

ADA = Caller("ada")


@pytest.fixture
async def database(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Return the site's database, with the customer's tasks in it."""
    site.run(USERS_THAT_SERVE["a profile and more"] + TASKS)
    site.migrate()
    monkeypatch.setenv("DATABASE_URL", site.url)
    forget_process()
    opened = open_database(site.url)
    yield opened
    await opened.close()
    forget_process()


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo"])
async def test_a_user_works_on_the_tasks_that_are_there(
    site: Site, database: Database, time_zone: str
) -> None:
    _live_in(site, time_zone)
    before = datetime.now(UTC)

    added = await add_task(database, ADA, NewTask(title="Buy milk"))
    changed = await change_task(database, ADA, added.id, TaskChange(completed=True))
    [newest, there_before] = (await list_tasks(database, ADA, TaskQuery()))["tasks"]

    assert before <= added.created_at <= changed.updated_at <= datetime.now(UTC)
    assert newest == changed
    assert (there_before.title, there_before.description) == ("Buy groceries", "")
    await delete_task(database, ADA, there_before.id)
    assert site.rows("SELECT title, completed, priority FROM tasks") == [("Buy milk", True, None)]


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo"])
async def test_a_task_that_is_sent_again_is_one(
    site: Site, database: Database, time_zone: str
) -> None:
    _live_in(site, time_zone)
    call = add_task_call(ADA, NewTask(title="Buy milk"))

    [first] = await database.run_as(ADA, None, call)

    assert await database.run_as(ADA, None, call) == [first]
    assert site.rows("SELECT count(*) FROM tasks WHERE title = 'Buy milk'") == [(1,)]


async def test_a_user_of_whom_the_customers_table_needs_to_know_more_is_unknown(
    site: Site, database: Database
) -> None:
    eve = Caller("eve")

    with pytest.raises(AccountUnknown):
        await add_task(database, eve, NewTask(title="Buy milk"))
    with pytest.raises(AccountUnknown):
        await claim_conversation(database, eve, uuid4())

    assert site.rows("SELECT user_id FROM tasks") == [("ada",)]


def _live_in(site: Site, time_zone: str) -> None:
    """Give sessions a time zone, in which times without one are stored."""
    name = site.url.rpartition("/")[2]
    site.run(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET timezone = '{time_zone}'")
