"""A migration that `make migration` has just made is not taken for one that is written."""

import re
import shutil
from pathlib import Path

from dev.new import DOWN, MIGRATION, make_migration
from tests.support.servers import SQL, Site


def test_a_migration_that_is_not_written_yet_is_refused_and_leaves_nothing_behind(
    migrated: Site, tmp_path: Path
) -> None:
    shutil.copytree(SQL, tmp_path / "sql")
    make_migration(tmp_path, "reading_list")
    before = migrated.schema()

    complaint = migrated.migrate_in_vain(tmp_path / "sql")

    assert "_reading_list.sql is not written yet" in complaint
    assert migrated.schema() == before
    names = "SELECT name FROM schema_migrations WHERE name LIKE '%reading_list'"
    assert migrated.rows(names) == []


def test_no_migration_keeps_a_placeholder_of_the_template() -> None:
    placeholders = re.findall(r"<[A-Za-z ]+>", MIGRATION + DOWN)

    assert len(placeholders) > 5
    texts = {path.name: path.read_text() for path in (SQL / "migrations").glob("*.sql")}
    assert [
        (name, each) for name, text in texts.items() for each in placeholders if each in text
    ] == []
