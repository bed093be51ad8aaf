"""list_migrations."""

from lib.database.client import Database
from lib.operations.health import LIST_MIGRATIONS, NEEDED
from tests.support.steps.rows import Rows


async def test_the_migrations_that_are_applied_are_listed_in_order(
    pool: Database, rows: Rows
) -> None:
    assert [each.name for each in await pool.run(LIST_MIGRATIONS())] == NEEDED

    rows.run("DELETE FROM schema_migrations WHERE name = %s", NEEDED[-1])

    assert [each.name for each in await pool.run(LIST_MIGRATIONS())] == NEEDED[:-1]
