"""The statements of `sql/queries/`, by room and name.

The only place where text becomes SQL: the files are trusted, and no other text is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

QUERIES = Path(__file__).parent.parent.parent / "sql" / "queries"


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row of an `:exec` statement, which returns no rows, or one that says nothing (void)."""


class Statement[Row]:
    """One statement, and the class of its rows.

    Attributes:
        name: the file's name without `.sql`; the same in logs, metrics and tests.
        sql: the text.
        row: a dataclass whose fields are the statement's columns, by name.
        timeout_ms: milliseconds that the statement may take in the database; None: as long as any
            other. Of several statements in a step the largest counts, for each of them.
        is_entrance: the statement takes the parameters of act_as_caller and calls it first, so that
            the step needs no call before it.
    """

    __slots__ = ("is_entrance", "name", "row", "sql", "timeout_ms")

    def __init__(
        self,
        path: str,
        row: type[Row],
        *,
        timeout_ms: int | None = None,
        is_entrance: bool = False,
    ) -> None:
        """Load `sql/queries/<path>.sql`; a path is a room and a name, such as `turns/begin_turn`.

        Raises:
            FileNotFoundError: when there is no such file.
        """
        self.name = name = path.rpartition("/")[2]
        self.row = row
        self.timeout_ms = timeout_ms
        self.is_entrance = is_entrance
        text = (QUERIES / f"{path}.sql").read_text(encoding="utf-8")
        # Without the header, which is for people: the server need not parse it with each call.
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
        # With the name behind the first word, so that a statement in the server's log or in
        # pg_stat_statements can be found here.
        verb, tail = "\n".join(lines).strip().rstrip(";").split(maxsplit=1)
        self.sql: LiteralString = cast("LiteralString", f"{verb} /* {name} */ {tail}")

    def __call__(self, **parameters: object) -> "Call[Row]":
        """Bind parameters by the names in the statement's header."""
        return Call(self, parameters)


class Call[Row]:
    """A statement with its parameters, ready to be sent."""

    __slots__ = ("parameters", "statement")

    def __init__(self, statement: Statement[Row], parameters: dict[str, object]) -> None:
        """Take a statement and its parameters by name.

        A callable parameter is called each time the statement is sent, and its result is bound.
        """
        self.statement = statement
        self.parameters = parameters

    def bound(self) -> dict[str, object]:
        """Return the parameters' values as they are now."""
        return {
            name: value() if callable(value) else value for name, value in self.parameters.items()
        }
