"""Sequences behind their tables, as after a move by logical replication: it brings rows alone."""

import re
import subprocess
import textwrap
import time
from collections.abc import Iterator

import pytest

from dev.postgres import RunningPostgres, programs, start_postgres
from tests.migrations.conftest import Check, make_site
from tests.support.product import ROOT
from tests.support.servers import SQL, Site

DATABASE = (ROOT / "docs/database.md").read_text(encoding="utf-8")

# Rows as a subscription writes them: with numbers of their own, and past the sequences.
REPLICATED = """
    INSERT INTO users (id) VALUES ('ada');
    INSERT INTO conversations (id, user_id) VALUES (md5('1')::uuid, 'ada');
    INSERT INTO chat_messages (id, conversation_id, user_id, role, content, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT n, md5('1')::uuid, 'ada', 'user', 'Old', now() - make_interval(mins => 1000 - n)
    FROM generate_series(1, 500) AS n;
    INSERT INTO tasks (id, user_id, title) OVERRIDING SYSTEM VALUE VALUES (7, 'ada', 'Buy milk');
"""
# The last rows of the origin: an import of old messages, which keep their times.
IMPORTED = """
    INSERT INTO chat_messages (id, conversation_id, user_id, role, content, created_at)
    OVERRIDING SYSTEM VALUE
    VALUES (501, md5('1')::uuid, 'ada', 'user', 'Imported', now() - interval '1 year');
    SELECT setval('chat_messages_id_seq', 500)
"""
ADDED = """
    WITH added AS (
        INSERT INTO chat_messages (conversation_id, user_id, role, content)
        VALUES (md5('1')::uuid, 'ada', 'user', 'New') RETURNING id
    ), added_task AS (INSERT INTO tasks (user_id, title) VALUES ('ada', 'Call') RETURNING id)
    SELECT added.id, added_task.id FROM added, added_task
"""
FAULTS = "SELECT kind, description FROM list_faults()"
LATE = [
    (
        "late_sequence",
        "public.chat_messages_id_seq would give 1 next, and chat_messages has 500 already",
    ),
    ("late_sequence", "public.tasks_id_seq would give 1 next, and tasks has 7 already"),
]


@pytest.mark.parametrize("file", ["sequences.sql", "migrate.sql"])
def test_after_a_move_by_replication_new_rows_come_after_those_that_are_stored(
    migrated: Site, file: str
) -> None:
    migrated.run(REPLICATED)
    assert migrated.rows(FAULTS) == LATE

    assert migrated.apply(SQL / file) == []

    assert migrated.rows(FAULTS) == []
    assert migrated.rows(ADDED) == [(501, 8)]


def test_a_message_with_the_greatest_number_and_an_old_time_counts_as_well(migrated: Site) -> None:
    migrated.run(REPLICATED)
    migrated.run(IMPORTED)

    migrated.apply(SQL / "sequences.sql")

    assert migrated.rows(ADDED) == [(502, 8)]


@pytest.mark.parametrize("file", ["sequences.sql", "migrate.sql"])
@pytest.mark.parametrize("is_called", [True, False], ids=["called", "not called"])
def test_a_sequence_never_moves_backwards(migrated: Site, file: str, *, is_called: bool) -> None:
    migrated.run(REPLICATED)
    migrated.run(f"""
        SELECT setval('chat_messages_id_seq', 9000, {is_called}), setval('tasks_id_seq', 8, FALSE)
    """)

    migrated.apply(SQL / file)

    assert migrated.rows(FAULTS) == []
    assert migrated.rows(ADDED) == [(9001 if is_called else 9000, 8)]


def test_every_sequence_of_parleys_is_looked_at(migrated: Site) -> None:
    made = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname
    """
    migrated.run(REPLICATED)

    late = "SELECT sequence_name FROM list_late_sequences(TRUE) ORDER BY sequence_name"
    looked_at = [str(name).removeprefix("public.") for (name,) in migrated.rows(late)]

    assert [(name,) for name in looked_at] == migrated.rows(made)


@pytest.fixture
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """Return a server that publishes what changes."""
    server = start_postgres(
        tmp_path_factory.mktemp("publisher") / "data",
        tcp=True,
        durable=False,
        settings={"wal_level": "logical", "max_wal_senders": "4"},
    )
    yield server
    server.stop()


@pytest.fixture
def subscriber(postgres: RunningPostgres) -> Iterator[Site]:
    """Return an empty database on another server: within one, the two wait for each other."""
    yield from make_site(postgres, programs())


async def test_the_documented_move_by_replication_brings_all_rows_and_the_product_goes_on(
    publisher: RunningPostgres, subscriber: Site, check_requests: Check
) -> None:
    old, new = Site(publisher.url, programs()), subscriber
    old.migrate()
    new.migrate()
    await check_requests(old)
    publish(old)
    new.run(f"CREATE SUBSCRIPTION parley CONNECTION '{old.url}' PUBLICATION parley")
    wait_until_copied(new)
    new.run("DROP SUBSCRIPTION parley")
    assert {kind for kind, _ in new.rows(FAULTS)} == {"late_sequence"}

    new.apply(SQL / "sequences.sql")

    await check_requests(new)
    # Each time two turns of two messages.
    ids = "SELECT count(*), count(DISTINCT id), max(id) FROM chat_messages"
    assert new.rows(ids) == [(8, 8, 8)]


def publish(site: Site) -> None:
    """Run the command of docs/database.md that publishes Parley's tables."""
    found = re.search(r"<<'SQL'\n(   SELECT 'CREATE PUBLICATION.*?)\n   SQL\n", DATABASE, re.DOTALL)
    assert found
    psql = [site.programs / "psql", site.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(psql, check=True, input=textwrap.dedent(found[1]), text=True)


def wait_until_copied(new: Site) -> None:
    """Wait until each table has its rows, as docs/database.md says."""
    give_up_at = time.monotonic() + 60
    while new.rows("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'") != [(0,)]:
        assert time.monotonic() < give_up_at, "the rows did not arrive"
        time.sleep(0.05)
