"""Health: can the database be reached, and is it as this code needs it?"""

from dataclasses import dataclass
from typing import Any

from lib import __version__
from lib.database.client import Database
from lib.database.statements import QUERIES, Statement
from lib.identity.callers import Caller
from lib.operations.faults import (
    DESCRIBE_ACCESS,
    LIST_FAULTS,
    MOST_NAMED,
    OTHER_FUNCTIONS,
    READ_ONLY,
    Fault,
    describe_access,
    describe_faults,
    say,
)
from lib.problems import DatabaseNotMigrated, DatabaseUnavailable
from lib.runtime.log import log
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


async def read_health(database: Database, *, is_operator: bool = False) -> dict[str, Any]:
    """Return that requests are answered, with the pool's metrics. One round trip; four if not.

    The status is `degraded` where requests are answered, but something else is amiss: settings
    that keep Parley from its other work, privileges that others have, migrations of a later
    version. `warnings` then says what to do.

    Args:
        database: the database.
        is_operator: whether the answer may name roles and objects of the database. The log does.

    Raises:
        DatabaseUnavailable: see `Database.run`; or the database only reads.
        DatabaseNotMigrated: when migrations or privileges are missing, when the role of
            DATABASE_URL may not do what requests do, or sequences are behind their tables; it
            says which, and the command that cures it.
    """
    try:
        # Within the wall, as the functions work, so that it is known to stand.
        found, faults = await database.run_as(Caller(), None, LIST_MIGRATIONS(), LIST_FAULTS())
    except DatabaseNotMigrated as problem:
        raise DatabaseNotMigrated(
            await _fault_without_wall(database, is_operator=is_operator)
        ) from problem
    if fault := _fault_in(found):
        raise DatabaseNotMigrated(fault)
    warnings = _check(faults, is_operator=is_operator) + _later(found) + _warnings()
    return {
        "status": "degraded" if warnings else "ok",
        "version": __version__,
        "database": {"migration": NEEDED[-1], "pool": database.pool_metrics()},
    } | ({"warnings": warnings} if warnings else {})


def _check(faults: list[Fault], *, is_operator: bool) -> list[str]:
    """Return what to say of faults that do not keep requests from work; log all.

    Raises:
        DatabaseNotMigrated, DatabaseUnavailable: there are others.
    """
    _log_faults(faults)
    grave, warnings = describe_faults(faults, is_operator=is_operator)
    if grave:
        raise DatabaseNotMigrated(" ".join(grave + warnings))
    reasons = [fault.description for fault in faults if fault.kind == "read_only"]
    if reasons:
        raise DatabaseUnavailable(say(READ_ONLY, reasons, is_operator=is_operator))
    return warnings


def _log_faults(faults: list[Fault]) -> None:
    """Log the faults, a line for each kind."""
    for kind in sorted({fault.kind for fault in faults}):
        named = [fault.description for fault in faults if fault.kind == kind]
        log("database_fault", kind=kind, count=len(named), first=named[:MOST_NAMED])


def _later(applied: list[Migration]) -> list[str]:
    """Return what to say of migrations that a later version has applied."""
    later = [each.name for each in applied if each.name > NEEDED[-1]]
    if not later:
        return []
    return [
        (
            f"A later version has migrated this database ({', '.join(later)}). This one works, "
            "but leaves the later functions as they are. Deploy the later version."
        )
    ]


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


async def _fault_without_wall(database: Database, *, is_operator: bool) -> str:
    """Name what keeps the step within the wall from work, by the rights of DATABASE_URL's role."""
    [access] = await database.run(DESCRIBE_ACCESS())
    if access.owner_name is None:
        found = await database.run(LIST_SCHEMAS())
        fault = _fault_of_schema([schema.name for schema in found])
        return fault or _fault_in([]) or OTHER_FUNCTIONS
    if fault := describe_access(access, is_operator=is_operator):
        return fault
    # Apart, because the functions may be missing with a migration.
    if fault := _fault_in(await database.run(LIST_MIGRATIONS())):
        return fault
    try:
        faults = await database.run(LIST_FAULTS())
    except DatabaseNotMigrated:
        return OTHER_FUNCTIONS
    _log_faults(faults)
    return " ".join(describe_faults(faults, is_operator=is_operator)[0]) or OTHER_FUNCTIONS


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
