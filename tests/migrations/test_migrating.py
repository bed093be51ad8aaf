"""Up, down, up again; twice, at once, and with a migration that fails."""

import re
import shutil
from pathlib import Path

import pytest

from tests.migrations.conftest import Check
from tests.support.servers import SQL, Site

MIGRATIONS = sorted(
    path.stem for path in (SQL / "migrations").glob("*.sql") if not path.stem.endswith(".down")
)
APPLIED = "SELECT name FROM schema_migrations ORDER BY applied_at, name"


def test_an_empty_database_gets_all_migrations(site: Site) -> None:
    printed = site.migrate()

    assert printed == [f"applying {name}" for name in MIGRATIONS]
    assert site.rows(APPLIED) == [(name,) for name in MIGRATIONS]


def test_applying_them_again_changes_nothing(migrated: Site) -> None:
    before = migrated.schema()

    assert migrated.migrate() == []
    assert migrated.schema() == before


def test_ten_people_who_migrate_at_once_all_succeed(site: Site) -> None:
    all_at_once = [site.start(SQL / "migrate.sql") for _ in range(10)]
    printed = [psql.communicate() for psql in all_at_once]

    assert [psql.returncode for psql in all_at_once] == [0] * 10, printed
    assert site.rows(APPLIED) == [(name,) for name in MIGRATIONS]


def test_up_and_down_and_up_again_twice_over_makes_the_same_schema(site: Site) -> None:
    site.migrate()
    first = site.schema()

    for _ in range(2):
        for name in reversed(MIGRATIONS):
            assert site.roll_back() == [f"taking back {name}"]
        site.migrate()
        assert site.schema() == first


def test_each_way_back_leads_to_where_its_migration_came_from(site: Site, tmp_path: Path) -> None:
    sql = tmp_path / "sql"
    shutil.copytree(SQL, sql)
    migrations = (SQL / "migrate.sql").read_text().partition("\n-- The functions")[0]
    steps = re.split(r"(?=\\set migration )", migrations)
    schemas: list[str] = []
    for count in range(1, len(steps) + 1):
        (sql / "migrate.sql").write_text("".join(steps[:count]))
        site.migrate(sql)
        schemas.append(site.schema())

    for expected in reversed(schemas[:-1]):
        site.roll_back()
        assert site.schema() == expected


def test_all_taken_back_leaves_nothing_but_the_list_of_migrations(migrated: Site) -> None:
    migrated.roll_back_all()

    assert migrated.schema("--exclude-table=schema_migrations") == "\n"
    assert migrated.rows(APPLIED) == []


def test_taking_back_where_nothing_was_applied_is_harmless(site: Site) -> None:
    assert site.roll_back() == ["nothing to take back"]
    assert site.schema() == "\n"


def test_a_migration_that_fails_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    sql = _copy_with_broken_migration(tmp_path)
    site.migrate()
    before = site.schema()

    complaint = site.migrate_in_vain(sql)

    assert "division by zero" in complaint
    assert site.schema() == before
    assert site.rows(APPLIED) == [(name,) for name in MIGRATIONS]


def test_a_migration_that_fails_can_be_mended_and_applied(site: Site, tmp_path: Path) -> None:
    sql = _copy_with_broken_migration(tmp_path)
    site.migrate_in_vain(sql)

    (sql / "migrations" / "900_broken.sql").write_text("CREATE TABLE half ();")

    assert site.migrate(sql) == ["applying 900_broken", "applying 901_after"]


def test_a_role_that_merely_owns_the_database_is_told_what_it_needs_and_with_that_migrates(
    site: Site,
) -> None:
    database = site.url.rsplit("/", 1)[1]
    site.run(f"CREATE ROLE merely_owner LOGIN; ALTER DATABASE {database} OWNER TO merely_owner")
    try:
        owned = Site(site.url.replace("//postgres@", "//merely_owner@"), site.programs)

        complaint = owned.migrate_in_vain()
        assert 'the role "merely_owner" may not make the role parley_app' in complaint
        advice = re.search(r"run the migrations again: (.*)", complaint)
        assert advice
        site.run(advice[1])

        before = len(owned.rows(APPLIED))
        assert owned.migrate() == [f"applying {name}" for name in MIGRATIONS[before:]]
        owned.roll_back_all()
    finally:
        site.run(f"ALTER DATABASE {database} OWNER TO postgres; DROP OWNED BY merely_owner")
        site.run("DROP ROLE merely_owner")


def test_every_migration_is_listed_in_order_and_has_a_way_back() -> None:
    listed = re.findall(r"^\\set migration (\w+)$", (SQL / "migrate.sql").read_text(), re.MULTILINE)

    assert listed == MIGRATIONS
    assert [name[:3] for name in listed] == [f"{n:03}" for n in range(1, len(listed) + 1)]
    for name in MIGRATIONS:
        assert (SQL / "migrations" / f"{name}.down.sql").is_file(), name


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_migration_says_what_it_locks_and_what_its_way_back_loses(name: str) -> None:
    up = (SQL / "migrations" / f"{name}.sql").read_text()
    down = (SQL / "migrations" / f"{name}.down.sql").read_text()

    title = name.replace("_", " ")
    assert up.startswith(f"-- {title}: ")
    assert "\n-- Locks: " in up
    assert f"\n-- Undo: {name}.down.sql" in up
    assert down.startswith(f"-- Takes back {title}. Lost: ")


def test_every_table_and_column_says_what_it_is_for(migrated: Site) -> None:
    silent = migrated.rows("""
        SELECT pg_class.relname, pg_attribute.attname
        FROM pg_class
        INNER JOIN pg_attribute ON pg_class.oid = pg_attribute.attrelid
        WHERE
            pg_class.relnamespace = 'public'::regnamespace
            AND pg_class.relkind = 'r'
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
            AND (
                col_description(pg_class.oid, pg_attribute.attnum) IS NULL
                OR obj_description(pg_class.oid, 'pg_class') IS NULL
            )
    """)

    assert silent == []


def _copy_with_broken_migration(folder: Path) -> Path:
    """Copy `sql/` and add a migration that fails halfway, and one after it."""
    sql = folder / "sql"
    shutil.copytree(SQL, sql)
    entry = sql / "migrate.sql"
    migrations, functions, rest = entry.read_text().partition("\n-- The functions")
    steps = [
        f"\\set migration {name}\n\\ir apply_migration.sql\n"
        for name in ("900_broken", "901_after")
    ]
    entry.write_text("".join([migrations, *steps, functions, rest]))
    broken = "CREATE TABLE half (); SELECT 1 / 0;"
    (sql / "migrations" / "900_broken.sql").write_text(broken)
    (sql / "migrations" / "901_after.sql").write_text("CREATE TABLE after ();")
    return sql


async def test_a_copy_of_the_schema_without_rows_is_migrated_again_and_changes_nothing(
    migrated: Site, check_requests: Check
) -> None:
    schema = migrated.schema()
    # As a branch of Neon without data has it.
    migrated.run("TRUNCATE schema_migrations")

    assert migrated.migrate() == [f"applying {name}" for name in MIGRATIONS]

    assert migrated.schema() == schema
    await check_requests(migrated)
