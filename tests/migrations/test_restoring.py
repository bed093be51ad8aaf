"""A dump restored into another server: nothing is lost, and the wall stands there."""

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from dev.postgres import programs, start_postgres
from tests.migrations.test_in_real_life import KEPT, ROWS
from tests.support.servers import Site

# What docs/database.md has one say first, to the new server, as who is to own the database.
MAKE_ROLE = "CREATE ROLE parley_app NOLOGIN; GRANT parley_app TO CURRENT_USER"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server on which nothing of Parley has ever been."""
    server = start_postgres(tmp_path_factory.mktemp("elsewhere") / "data", tcp=True, durable=False)
    yield server.url
    server.stop()


@pytest.fixture
def restored(elsewhere: str) -> Iterator[Site]:
    """Return an empty database on it, of an owner who may do what Neon's may, and no more."""
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        admin.execute("CREATE ROLE neon_owner LOGIN CREATEROLE CREATEDB")
        admin.execute("CREATE DATABASE restored OWNER neon_owner")
    url = elsewhere.replace("postgres@", "neon_owner@").replace("/postgres", "/restored")
    yield Site(url, programs())
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        admin.execute("DROP DATABASE restored WITH (FORCE)")
        admin.execute("DROP OWNED BY neon_owner")
        admin.execute("DROP ROLE IF EXISTS parley_app")
        admin.execute("DROP ROLE neon_owner")


def restore(origin: Site, target: Site) -> subprocess.CompletedProcess[str]:
    """Dump a database with its own version's pg_dump, and have psql restore it."""
    dump = [origin.programs / "pg_dump", "--no-owner", origin.url]
    psql = [target.programs / "psql", target.url, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]
    dumped = subprocess.run(dump, check=True, capture_output=True, text=True)
    return subprocess.run(psql, check=False, input=dumped.stdout, capture_output=True, text=True)


def test_a_dump_is_restored_whole_and_the_wall_stands(migrated: Site, restored: Site) -> None:
    migrated.run(ROWS)
    restored.run(MAKE_ROLE)

    done = restore(migrated, restored)

    assert done.returncode == 0, done.stderr
    for table, columns in KEPT.items():
        query = f"SELECT {columns} FROM {table} ORDER BY {columns}"
        assert restored.rows(query) == migrated.rows(query)
    assert restored.migrate() == []
    seen = """
        SELECT act_as_caller('user-7', NULL, FALSE, NULL, NULL, NULL, 8000, 'read');
        SELECT DISTINCT user_id FROM chat_messages
    """
    with psycopg.connect(restored.url) as connection:
        cursor = connection.execute(seen.encode())
        cursor.nextset()
        assert cursor.fetchall() == [("user-7",)]


def test_what_is_stored_after_a_restore_comes_after_what_was_stored_before(
    migrated: Site, restored: Site
) -> None:
    migrated.run(ROWS)
    restored.run(MAKE_ROLE)
    restore(migrated, restored)

    restored.run("""
        INSERT INTO chat_messages (conversation_id, user_id, role, content)
        SELECT id, user_id, 'user', 'New' FROM conversations LIMIT 1
    """)

    newest = "SELECT content FROM chat_messages ORDER BY id DESC LIMIT 1"
    assert restored.rows(newest) == [("New",)]
    assert restored.rows("SELECT delete_old_chat_messages()") == [(0,)]


def test_without_the_role_nothing_is_restored(migrated: Site, restored: Site) -> None:
    done = restore(migrated, restored)

    assert done.returncode == 3
    assert 'role "parley_app" does not exist' in done.stderr
    assert restored.schema() == "\n"
