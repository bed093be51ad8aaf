"""A migration says for whom it waits, ends in time, and takes no connection that others share."""

import re
from pathlib import Path

import psycopg
import pytest

from dev.postgres import RunningPostgres
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer, through
from tests.support.servers import SQL, Site

SOON = ("-v", "lock_timeout=100ms", "-v", "migration_timeout=200ms")
LEFT_BEHIND = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def test_a_migration_that_a_transaction_holds_up_names_it_and_can_be_applied_afterwards(
    migrated: Site,
) -> None:
    migrated.roll_back()
    with _someone_else(migrated) as holder:
        holder.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")

        complaint = migrated.migrate_in_vain(SQL, *SOON)

        pid = holder.info.backend_pid
        assert f"held by process {pid} (a report, idle in transaction), since " in complaint
        assert "LOCK TABLE conversations" in complaint
        assert "current transaction is aborted" not in complaint
    assert migrated.migrate() == ["applying 011_files"]


def test_a_way_back_that_a_transaction_holds_up_names_it(migrated: Site) -> None:
    with _someone_else(migrated) as holder:
        holder.execute("SELECT FROM chat_files")

        psql = migrated.start(SQL / "rollback.sql", *SOON)
        complaint = psql.communicate()[1]

        assert psql.returncode == 3
        assert f"held by process {holder.info.backend_pid} (a report, " in complaint
    assert migrated.migrate() == []


@pytest.mark.parametrize("lock", ["parley migrations", "parley indexes"])
def test_a_migration_names_another_one_that_does_not_end(site: Site, lock: str) -> None:
    with _someone_else(site) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext(%s))", [lock])

        complaint = site.migrate_in_vain(SQL, *SOON)

        assert f"process {holder.info.backend_pid} (a report" in complaint


def test_a_file_that_is_missing_is_not_taken_for_applied(site: Site, tmp_path: Path) -> None:
    text = (SQL / "migrate.sql").read_text()
    for each in SQL.iterdir():
        if each.name != "migrate.sql":
            (tmp_path / each.name).symlink_to(each)
    entry = text.replace("\\set migration 011_files", "\\set migration 011_missing")
    (tmp_path / "migrate.sql").write_text(entry)

    complaint = site.migrate_in_vain(tmp_path)

    assert "011_missing.sql: No such file" in complaint
    assert site.rows("SELECT max(name) FROM schema_migrations") == [("010_search",)]


def test_an_index_that_was_left_half_built_is_built_by_the_next_migration(migrated: Site) -> None:
    schema = migrated.schema()
    migrated.run("""
        UPDATE pg_index SET indisvalid = FALSE
        WHERE indexrelid = 'idx_conversations_search'::regclass
    """)

    assert migrated.migrate() == ["applying 010_search"]

    assert migrated.schema() == schema
    assert migrated.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


@pytest.mark.parametrize("file", ["migrate.sql", "rollback.sql"])
def test_a_pooled_connection_is_refused_and_nothing_of_it_is_left_in_the_pool(
    site: Site, tmp_path: Path, file: str
) -> None:
    if find_pgbouncer() is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    # PgBouncer may run as another user.
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    with running_pgbouncer(site.url, folder) as port:
        psql = Site(through(site.url, port), site.programs).start(SQL / file)
        complaint = psql.communicate()[1]

    assert psql.returncode == 3
    assert "this connection goes through a pooler" in complaint
    assert "Use the direct URL" in complaint
    assert site.schema() == "\n"


def test_every_documented_command_of_psql_reads_no_file_of_its_user() -> None:
    root = SQL.parent
    files = [root / "README.md", *root.glob("docs/*.md"), SQL / "migrate.sql", SQL / "rollback.sql"]
    commands = [
        (file.name, line)
        for file in files
        for line in re.findall(r"psql (?:-\S+ )*[\"…].*", file.read_text(encoding="utf-8"))
    ]

    assert len(commands) > 10
    assert [each for each in commands if " -X" not in each[1]] == []


def test_a_database_of_another_encoding_is_refused(
    site: Site, server: tuple[RunningPostgres, Path]
) -> None:
    running, programs = server
    site.run("""
        CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0
    """)
    latin = Site(running.url_of("latin", "postgres"), programs)
    try:
        complaint = latin.migrate_in_vain()
        assert 'the database "latin" has the encoding LATIN1' in complaint
        assert "ENCODING 'UTF8'" in complaint
        assert latin.schema() == "\n"
    finally:
        site.run("DROP DATABASE latin WITH (FORCE)")


def _someone_else(site: Site) -> psycopg.Connection:
    return psycopg.connect(site.url, application_name="a report")
