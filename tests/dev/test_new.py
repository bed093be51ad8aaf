"""`make migration` and `make query` make files that the tests of migrations and statements know."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.new import CannotMakeError, make_migration, make_query
from tests.support.product import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the checkout's SQL, with the folders of its rooms."""
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    for package in (ROOT / "lib").glob("*/__init__.py"):
        copy = tmp_path / package.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        copy.touch()
    return tmp_path


def migrations_of(checkout: Path) -> list[str]:
    """Return the migrations that a checkout's `migrate.sql` lists, in order."""
    listing = (checkout / "sql" / "migrate.sql").read_text()
    return re.findall(r"^\\set migration (\w+)$", listing, re.MULTILINE)


def test_a_new_migration_gets_the_next_number_two_files_and_the_last_place_in_the_list(
    checkout: Path,
) -> None:
    before = migrations_of(checkout)

    told = make_migration(checkout, "reading_list")

    stem = f"{len(before) + 1:03}_reading_list"
    assert migrations_of(checkout) == [*before, stem]
    up = (checkout / "sql" / "migrations" / f"{stem}.sql").read_text()
    down = (checkout / "sql" / "migrations" / f"{stem}.down.sql").read_text()
    # As tests/migrations/test_migrating.py asks for.
    title = stem.replace("_", " ")
    assert up.startswith(f"-- {title}: ")
    assert "\n-- Locks: " in up
    assert f"\n-- Undo: {stem}.down.sql" in up
    assert down.startswith(f"-- Takes back {title}. Lost: ")
    assert stem in told


def test_a_new_migration_is_listed_before_whatever_migrate_sql_does_after_all_migrations(
    checkout: Path,
) -> None:
    entry = checkout / "sql" / "migrate.sql"
    entry.write_text(entry.read_text() + "\n-- The end.\n\\ir the_end.sql\n")

    make_migration(checkout, "reading_list")

    last = entry.read_text().partition("_reading_list\n")[2]
    assert last.startswith("\\ir apply_migration.sql\n")
    assert last.endswith("\n-- The end.\n\\ir the_end.sql\n")


@pytest.mark.parametrize("name", ["", "Reading", "reading-list", "1st", "a__b", "a/b", "x" * 51])
def test_a_migration_whose_name_is_not_valid_is_refused_and_nothing_is_made(
    checkout: Path, name: str
) -> None:
    _refuses_and_makes_nothing(checkout, "NAME=", lambda: make_migration(checkout, name))


def test_a_migration_whose_name_is_taken_is_refused(checkout: Path) -> None:
    taken = migrations_of(checkout)[-1]

    _refuses_and_makes_nothing(checkout, taken, lambda: make_migration(checkout, taken[4:]))


@pytest.mark.parametrize(("name", "rows"), [("list_left_turns", "many"), ("find_it", "one")])
def test_a_new_statement_lies_in_its_room_with_a_header(
    checkout: Path, name: str, rows: str
) -> None:
    told = make_query(checkout, "turns", name)

    first, second, *others = (
        (checkout / "sql" / "queries" / "turns" / f"{name}.sql").read_text().splitlines()
    )
    assert first == f"-- {name} :{rows}"
    assert second.startswith("-- ")
    headings = [line.split()[1] for line in others if re.match(r"-- [A-Z]", line)]
    assert headings == ["Parameters", "Returns", "Index"]
    assert f'{name.upper()} = Statement("turns/{name}"' in told
    assert f"tests/queries/turns/test_{name}.py" in told


def test_the_first_statement_of_a_room_makes_the_rooms_folder(checkout: Path) -> None:
    make_query(checkout, "identity", "find_key")

    assert (checkout / "sql" / "queries" / "identity" / "find_key.sql").is_file()


@pytest.mark.parametrize(
    ("room", "name", "complaint"),
    [
        ("kitchen", "list_spoons", "There are: answers,"),
        ("..", "list_spoons", "no room"),
        ("turns", "spoons", "a verb and a noun"),
        ("turns", "List_spoons", "a verb and a noun"),
        ("turns", "list_spoons; --", "a verb and a noun"),
        ("users", "begin_turn", "sql/queries/turns/begin_turn.sql"),
    ],
)
def test_a_statement_without_a_room_or_a_free_name_is_refused_and_nothing_is_made(
    checkout: Path, room: str, name: str, complaint: str
) -> None:
    _refuses_and_makes_nothing(checkout, complaint, lambda: make_query(checkout, room, name))


def test_the_program_tells_a_mistake_in_one_line_and_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev.new", "query", "turns", "begin_turn"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr == ("There is a statement of that name: sql/queries/turns/begin_turn.sql\n")


def _refuses_and_makes_nothing(checkout: Path, complaint: str, make: Callable[[], str]) -> None:
    before = {path: path.read_bytes() for path in checkout.rglob("*.sql")}

    with pytest.raises(CannotMakeError, match=re.escape(complaint)):
        make()

    assert {path: path.read_bytes() for path in checkout.rglob("*.sql")} == before
