"""Health: can the database be reached, and has it the migrations that this code needs?"""

from dataclasses import dataclass
from typing import Any

from lib import __version__
from lib.database import Database
from lib.problems import DatabaseNotMigrated
from lib.statements import QUERIES, Statement


@dataclass(frozen=True, slots=True)
class Migration:
    """A row of `schema_migrations`."""

    name: str


LIST_MIGRATIONS = Statement("list_migrations", Migration)
NEEDED = sorted(
    path.stem
    for path in (QUERIES.parent / "migrations").glob("*.sql")
    if not path.stem.endswith(".down")
)


async def read_health(database: Database) -> dict[str, Any]:
    """Return that all is well, with the pool's figures. One round trip.

    Raises:
        DatabaseUnavailable: see `Database.run`.
        DatabaseNotMigrated: migrations are missing; it names them.
    """
    try:
        applied = {migration.name for migration in await database.run(LIST_MIGRATIONS())}
    except DatabaseNotMigrated:
        applied = set[str]()
    missing = [name for name in NEEDED if name not in applied]
    if missing:
        detail = f"The database lacks the migrations {', '.join(missing)}: psql -f sql/migrate.sql"
        raise DatabaseNotMigrated(detail)
    return {
        "status": "ok",
        "version": __version__,
        "database": {"migration": NEEDED[-1], "pool": database.figures()},
    }
