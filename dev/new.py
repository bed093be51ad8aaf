"""Make the files of a new migration or statement: `make migration`, `make query`.

    python -m dev.new migration add_something     the two files of the next migration
    python -m dev.new query turns list_something  a statement in sql/queries/turns/

Each file carries the header that the tests ask for. Until it is written, a migration refuses to be
applied: `make dev` applies new migrations at once, and would take an empty one for done.
"""

import argparse
import re
import sys
from pathlib import Path

from dev.terminal import tell

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
STATEMENT_NAME = re.compile(r"[a-z]+(_[a-z0-9]+)+")
# Postgres cuts names at 63 bytes; a migration's number takes four.
MAX_NAME_CHARS = 50
MIGRATION = """\
-- {title}: <the change>.
--
-- <The reason, if the statements do not show it.>
--
-- Locks: <mode> on <table>, for a moment (<the reason why it is short>). Or: none.
-- Undo: {stem}.down.sql; <the data that is lost>.

-- Write it so that a second run is harmless (IF NOT EXISTS, CREATE OR REPLACE), with COMMENT ON for
-- each table and column, and beside each index the statement that reads it. An index on a table
-- with rows is a migration of its own: CREATE INDEX CONCURRENTLY, applied by apply_indexes.sql.
DO $$
BEGIN
    RAISE EXCEPTION '{stem}.sql is not written yet';
END
$$;
"""
DOWN = """\
-- Takes back {title}. Lost: <the data that is lost>.

DO $$
BEGIN
    RAISE EXCEPTION '{stem}.down.sql is not written yet';
END
$$;
"""
QUERY = """\
-- {name} :{rows}
-- <A sentence that begins with a verb: the effect of the statement.>
--
-- Parameters
--   user_id  text         the caller; null: anonymous
--   now      timestamptz  null: the database's clock
--
-- Returns {count}: <columns>.
-- Index <the indexes that find the rows>.
SELECT <table>.<column>
FROM <table>
WHERE
    <table>.user_id IS NOT DISTINCT FROM %(user_id)s::text
    AND <table>.created_at <= coalesce(%(now)s::timestamptz, now());
"""


class CannotMakeError(Exception):
    """The name does not fit; the text says why."""


def make_migration(root: Path, name: str) -> str:
    """Make the next migration's file and its way back, and list it in `sql/migrate.sql`.

    Args:
        root: the checkout.
        name: without the number, like `turn_index`.

    Returns:
        The new files and the next steps, for the developer.

    Raises:
        CannotMakeError: the name is not valid, or another migration has it.
    """
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        message = (
            f"A migration's name is made of small letters, digits and single underscores, at most "
            f"{MAX_NAME_CHARS}: make migration NAME=turn_index"
        )
        raise CannotMakeError(message)
    folder = root / "sql" / "migrations"
    stems = sorted(path.stem for path in folder.glob("*.sql") if not path.stem.endswith(".down"))
    if taken := [stem for stem in stems if stem[4:] == name]:
        message = f"There is a migration of that name: {taken[0]}"
        raise CannotMakeError(message)
    number = int(stems[-1][:3]) + 1 if stems else 1
    stem = f"{number:03}_{name}"
    entry = root / "sql" / "migrate.sql"
    # Before any file is made: the listing may be not as expected.
    listing = _listing_with(entry.read_text(encoding="utf-8"), stem)
    title = stem.replace("_", " ")
    (folder / f"{stem}.sql").write_text(MIGRATION.format(title=title, stem=stem), encoding="utf-8")
    (folder / f"{stem}.down.sql").write_text(DOWN.format(title=title, stem=stem), encoding="utf-8")
    entry.write_text(listing, encoding="utf-8")
    return (
        f"Made sql/migrations/{stem}.sql and {stem}.down.sql, listed in sql/migrate.sql.\n"
        "Write both. Then: make schema, and name the migration in CHANGELOG.md.\n"
        "Tests that tell: tests/migrations, tests/sql/test_schema.py; for a new table also "
        "tests/access."
    )


def make_query(root: Path, room: str, name: str) -> str:
    """Make a statement's file, with its header.

    Args:
        root: the checkout.
        room: the room of `lib/` that declares the statement.
        name: verb and noun, like `list_turns`.

    Returns:
        The new files and the next steps, for the developer.

    Raises:
        CannotMakeError: there is no such room, the name is not valid, or another statement has it.
    """
    rooms = sorted(path.parent.name for path in (root / "lib").glob("*/__init__.py"))
    if room not in rooms:
        message = f"There is no room lib/{room}. There are: {', '.join(rooms)}."
        raise CannotMakeError(message)
    if not STATEMENT_NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        message = (
            f"A statement's name is a verb and a noun in small letters, at most {MAX_NAME_CHARS} "
            "characters: make query ROOM=turns NAME=list_turns"
        )
        raise CannotMakeError(message)
    queries = root / "sql" / "queries"
    if taken := sorted(queries.glob(f"*/{name}.sql")):
        message = f"There is a statement of that name: {taken[0].relative_to(root)}"
        raise CannotMakeError(message)
    rows, count = ("many", "0 or more rows") if name.startswith("list_") else ("one", "1 row")
    file = queries / room / f"{name}.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(QUERY.format(name=name, rows=rows, count=count), encoding="utf-8")
    return (
        f"Made {file.relative_to(root)}. Write it, then declare it in a module of lib/{room}/:\n"
        f'    {name.upper()} = Statement("{room}/{name}", <a dataclass of its columns>)\n'
        f"and test it in tests/queries/{room}/test_{name}.py.\n"
        "Tests that tell: tests/sql, tests/access/test_wall.py."
    )


def _listing_with(listing: str, stem: str) -> str:
    """Return `migrate.sql` with a migration after the last one that it lists.

    Raises:
        CannotMakeError: it lists none.
    """
    entries = list(re.finditer(r"^\\set migration \w+\n\\ir \w+\.sql\n", listing, re.MULTILINE))
    if not entries:
        message = "sql/migrate.sql lists no migration to put this one behind."
        raise CannotMakeError(message)
    end = entries[-1].end()
    return f"{listing[:end]}\\set migration {stem}\n\\ir apply_migration.sql\n{listing[end:]}"


def main(arguments: list[str]) -> None:
    """Make the files that the arguments ask for, and tell the next steps.

    Raises:
        CannotMakeError: see `make_migration` and `make_query`.
    """
    parser = argparse.ArgumentParser(prog="python -m dev.new", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    migration = kinds.add_parser("migration")
    migration.add_argument("name")
    query = kinds.add_parser("query")
    query.add_argument("room")
    query.add_argument("name")
    chosen = parser.parse_args(arguments)
    if chosen.kind == "migration":
        tell(make_migration(ROOT, chosen.name))
    else:
        tell(make_query(ROOT, chosen.room, chosen.name))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotMakeError as problem:
        tell(problem)
        sys.exit(1)
