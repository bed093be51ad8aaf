"""A database, with the programs of its own version of PostgreSQL to work on it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import psycopg

import dev.postgres
from dev.postgres import RunningPostgres, start_postgres
from tests.sql.dump_schema import dump_schema
from tests.support.product import ROOT

SQL = ROOT / "sql"
# PostgreSQL 15 has no locale of its own making.
OLDER_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--no-instructions",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A database that psql works on.

    Attributes:
        url: where it is.
        programs: the folder with psql and pg_dump.
        own_schema: PARLEY_SCHEMA; None: not set.
    """

    url: str
    programs: Path
    own_schema: str | None = None

    def start(self, file: Path, *options: str) -> subprocess.Popen[str]:
        """Start psql with a file, as README.md tells an operator to."""
        return subprocess.Popen(
            [self.programs / "psql", self.url, "-X", "-v", "ON_ERROR_STOP=1", *options, "-f", file],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"PARLEY_SCHEMA": self.own_schema} if self.own_schema else {}),
        )

    def migrate(self, sql: Path = SQL) -> list[str]:
        """Apply the migrations and return what psql printed; they must succeed."""
        return self.apply(sql / "migrate.sql")

    def migrate_in_vain(self, sql: Path = SQL, *options: str) -> str:
        """Apply the migrations, which must fail, and return psql's complaint."""
        return self.apply_in_vain(sql / "migrate.sql", *options)

    def apply_in_vain(self, file: Path, *options: str) -> str:
        """Apply a file, which must fail, and return psql's complaint."""
        psql = self.start(file, *options)
        complaint = psql.communicate()[1]
        assert psql.returncode == 3, complaint
        return complaint

    def roll_back(self, sql: Path = SQL) -> list[str]:
        """Take the newest migration back and return what psql printed."""
        return self.apply(sql / "rollback.sql")

    def roll_back_all(self) -> None:
        """Take back one migration after the other until none is left."""
        while self.roll_back() != ["nothing to take back"]:
            pass

    def schema(self, *options: str) -> str:
        """Return the schema as SQL."""
        return dump_schema(self.url, *options, folder=self.programs)

    def run(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run SQL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), parameters)

    def rows(
        self, statement: str, parameters: Mapping[str, object] | None = None
    ) -> list[tuple[object, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def apply(self, file: Path) -> list[str]:
        """Apply a file and return what psql printed; it must succeed."""
        psql = self.start(file)
        output, complaint = psql.communicate()
        assert psql.returncode == 0, complaint
        return output.splitlines()


def start_older_postgres(programs: Path, data_dir: Path) -> RunningPostgres:
    """Start the server that Debian installs into a folder, as `start_postgres` does its own."""
    with patch.multiple(
        dev.postgres, programs=lambda: programs, INITDB_OPTIONS=OLDER_INITDB_OPTIONS
    ):
        return start_postgres(data_dir, tcp=True, durable=False)
