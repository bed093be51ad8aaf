"""Health: can the database be reached, and has it the migrations of this code?"""

from dataclasses import dataclass
from typing import Any

from lib import __version__
from lib.database.client import Database
from lib.database.statements import QUERIES, Statement
from lib.identity.callers import Caller
from lib.problems import DatabaseNotMigrated
from lib.settings import settings


@dataclass(frozen=True, slots=True)
class Migration:
    """A row of `schema_migrations`."""

    name: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of the database, by its name."""

    name: str


LIST_SCHEMAS = Statement("operations/list_schemas", Schema)
LIST_MIGRATIONS = Statement("operations/list_migrations", Migration)
NEEDED = sorted(
    path.stem
    for path in (QUERIES.parent / "migrations").glob("*.sql")
    if not path.stem.endswith(".down")
)


def read_liveness() -> dict[str, Any]:
    """Return that this process answers, whatever else may be wrong; no round trip."""
    return {"status": "ok", "version": __version__}


async def read_health(database: Database) -> dict[str, Any]:
    """Return that requests are answered, with the pool's metrics. One round trip; two if not.

    The status is `degraded` where requests are answered, but settings keep Parley from its other
    work; `warnings` then names the variables to set.

    Raises:
        DatabaseUnavailable: see `Database.run`.
        DatabaseNotMigrated: when migrations are missing, or are not those of this code; it names
            them.
    """
    try:
        # Within the wall, as the functions work, so that it is known to stand.
        found = await database.run_as(Caller(), None, LIST_MIGRATIONS())
    except DatabaseNotMigrated as problem:
        raise DatabaseNotMigrated(
            await _fault_without_wall(database) or problem.detail
        ) from problem
    if fault := _fault_in(found):
        raise DatabaseNotMigrated(fault)
    warnings = _warnings()
    return {
        "status": "degraded" if warnings else "ok",
        "version": __version__,
        "database": {"migration": NEEDED[-1], "pool": database.pool_metrics()},
    } | ({"warnings": warnings} if warnings else {})


def _warnings() -> list[str]:
    """Return the settings that do not fit together, each with its remedy."""
    days = settings().retention_days
    if not days or settings().cron_secret is not None:
        return []
    return [
        (
            f"Messages older than {days} days are hidden, but not deleted: RETENTION_DAYS is "
            f"{days}, and without CRON_SECRET the nightly clean-up is refused. Set CRON_SECRET "
            "(openssl rand -base64 32), or RETENTION_DAYS=0 to keep messages for ever."
        )
    ]


async def _fault_without_wall(database: Database) -> str | None:
    """Name the faulty migrations where those that make the wall may be among them."""
    try:
        return _fault_in(await database.run(LIST_MIGRATIONS()))
    except DatabaseNotMigrated:
        found = await database.run(LIST_SCHEMAS())
        return _fault_of_schema([schema.name for schema in found]) or _fault_in([])


def _fault_of_schema(found: list[str]) -> str | None:
    """Return what is wrong where Parley's tables are in other schemas than this function looks in.

    Args:
        found: the schemas that have Parley's tables.
    """
    wanted = settings().parley_schema
    # Without PARLEY_SCHEMA the role's search_path decides, and has not led to these.
    if not found or wanted in found:
        return None
    here = f'is "{wanted}"' if wanted else "is not set"
    cure = (
        f"Set PARLEY_SCHEMA={found[0]} here and deploy again, or migrate"
        f"{f' with PARLEY_SCHEMA={wanted}' if wanted else ' without it'}."
        if found[0] != "public"
        else f"Remove PARLEY_SCHEMA here, or migrate with PARLEY_SCHEMA={wanted}."
    )
    return (
        f"Parley's tables are in the schema {', '.join(found)} of the database, but PARLEY_SCHEMA "
        f"{here} for this deployment. {cure}"
    )


def _fault_in(applied: list[Migration]) -> str | None:
    names = {migration.name for migration in applied}
    # A later version's migrations come after ours, and leave this code working.
    foreign = sorted(name for name in names.difference(NEEDED) if name < NEEDED[-1])
    if foreign:
        return (
            f"The database was made by migrations that this version does not have "
            f"({', '.join(foreign)}), and cannot be brought up to date. "
            f"Make a new one: psql -X -f sql/migrate.sql on an empty database or schema"
        )
    missing = [name for name in NEEDED if name not in names]
    if missing:
        return f"The database lacks the migrations {', '.join(missing)}: psql -X -f sql/migrate.sql"
    return None
