"""The statements of `sql/queries/`, by room and name.

The one place where text becomes SQL: what is in those files is trusted, and nothing else ever is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

QUERIES = Path(__file__).parent.parent.parent / "sql" / "queries"


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of an `:exec` statement, which returns no rows, or one that says nothing (void)."""


class Statement[Row]:
    """One statement, and the class that a row of its result becomes.

    Attributes:
        name: its file's name without `.sql`; the same in logs, metrics and tests.
        sql: its text.
        row: a class whose fields are the statement's columns, by name.
    """

    __slots__ = ("name", "row", "sql")

    def __init__(self, path: str, row: type[Row]) -> None:
        """Load `sql/queries/<path>.sql`; a path is a room and a name, such as `turns/begin_turn`.

        Raises:
            FileNotFoundError: there is no such statement.
        """
        self.name = name = path.rpartition("/")[2]
        self.row = row
        text = (QUERIES / f"{path}.sql").read_text(encoding="utf-8")
        # The header is for people; the server need not read it with each call.
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
        # Its name goes with it, behind its first word: what the database tells of it, in its log or
        # in pg_stat_statements, can then be found here.
        verb, rest = "\n".join(lines).strip().rstrip(";").split(maxsplit=1)
        self.sql: LiteralString = cast("LiteralString", f"{verb} /* {name} */ {rest}")

    def __call__(self, **parameters: object) -> "Call[Row]":
        """Bind parameters, by the names that the statement's header lists."""
        return Call(self, parameters)


class Call[Row]:
    """A statement with its parameters, ready to be sent."""

    __slots__ = ("parameters", "statement")

    def __init__(self, statement: Statement[Row], parameters: dict[str, object]) -> None:
        """Take a statement and its parameters by name; of one that is callable, its result counts.

        It is called when the statement is sent, and again when it is sent again.
        """
        self.statement = statement
        self.parameters = parameters

    def bound(self) -> dict[str, object]:
        """Return the parameters as they are now."""
        return {name: each() if callable(each) else each for name, each in self.parameters.items()}
