"""A migration that is killed at any place is completed by the next run."""

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass

import psycopg
import pytest

from tests.migrations.conftest import Check
from tests.support.servers import SQL, Site

PATIENCE_SECONDS = 60
# Long, so that the moment does not pass before it is seen.
PATIENTLY = ("-v", "lock_timeout=60s", "-v", "migration_timeout=60s")
SOON = ("-v", "lock_timeout=100ms", "-v", "migration_timeout=200ms")


@dataclass(frozen=True)
class Moment:
    """A moment of a migration at which another transaction holds it up.

    Attributes:
        taken_back: how many migrations are taken back first.
        held_by: what that transaction does.
        waiting: what the migration then waits with, and for what.
        complaint: what it says of a wait that is too long.
        done_before: a change that the migration then has to set right.
    """

    taken_back: int
    held_by: str
    waiting: tuple[str, str]
    complaint: str
    done_before: str = "SELECT"


MOMENTS = {
    "a migration": Moment(
        1,
        "LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE",
        ("%chat_files%", "relation"),
        "Parley's tables are held by process {pid} (a report, idle in transaction), since ",
    ),
    "the build of an index": Moment(
        2,
        # Of no table of Parley's: that it is older is enough.
        "SELECT pg_current_xact_id(); SELECT count(*) FROM pg_class",
        ("CREATE INDEX CONCURRENTLY%", "virtualxid"),
        "Parley's indexes are held by process {pid} (a report, idle in transaction), since ",
    ),
    "a function": Moment(
        0,
        "ALTER FUNCTION delete_old_conversations(interval, integer, timestamptz) COST 200",
        ("%CREATE OR REPLACE FUNCTION delete_old_conversations%", "transactionid"),
        "Parley's functions are held by process {pid} (a report, idle in transaction), since ",
    ),
    "the privileges": Moment(
        0,
        "GRANT INSERT ON quotas TO public",
        ("%are_missing boolean%", "transactionid"),
        "Parley's functions are held by process {pid} (a report, idle in transaction), since ",
        done_before="GRANT SELECT ON quotas TO public",
    ),
}
WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE
        datname = current_database() AND application_name = 'psql' AND query LIKE %(query)s
        AND wait_event_type = 'Lock' AND wait_event = %(event)s
"""
LEFT = """
    SELECT
        (SELECT count(*) FROM pg_index WHERE NOT indisvalid),
        (SELECT count(*) FROM list_privilege_faults())
"""


@pytest.mark.parametrize("name", MOMENTS)
async def test_a_migration_that_is_killed_is_completed_by_the_next_one(
    migrated: Site, name: str, check_requests: Check
) -> None:
    moment, schema = MOMENTS[name], migrated.schema()

    for kill in ("psql", "its backend"):
        with _held_up(migrated, moment) as holder:
            psql = migrated.start(SQL / "migrate.sql", *PATIENTLY)
            pid = _wait_until_it_waits(migrated, moment)
            if kill == "psql":
                psql.kill()
            else:
                migrated.run("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
            psql.communicate()
            assert psql.returncode != 0
            holder.rollback()

        # It waits for what is left of the killed one.
        migrated.migrate()

        assert migrated.schema() == schema
        assert migrated.rows(LEFT) == [(0, 0)]
    await check_requests(migrated)


@pytest.mark.parametrize("name", MOMENTS)
def test_a_migration_that_waits_too_long_names_the_transaction_that_it_waits_for(
    migrated: Site, name: str
) -> None:
    moment, schema = MOMENTS[name], migrated.schema()

    with _held_up(migrated, moment) as holder:
        complaint = migrated.migrate_in_vain(SQL, *SOON)

        assert moment.complaint.format(pid=holder.info.backend_pid) in complaint
        assert "current transaction is aborted" not in complaint
    migrated.migrate()
    assert migrated.schema() == schema


@contextlib.contextmanager
def _held_up(site: Site, moment: Moment) -> Generator[psycopg.Connection]:
    """Let a transaction of somebody else's hold up the next migration at a moment."""
    for _ in range(moment.taken_back):
        site.roll_back()
    site.run(moment.done_before)
    with psycopg.connect(site.url, application_name="a report") as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute(moment.held_by.encode())
        yield holder
        holder.rollback()


def _wait_until_it_waits(site: Site, moment: Moment) -> object:
    query, event = moment.waiting
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < gives_up_at:
        if found := site.rows(WAITING, {"query": query, "event": event}):
            return found[0][0]
        time.sleep(0.02)
    raise TimeoutError(site.rows("SELECT query, wait_event FROM pg_stat_activity"))
