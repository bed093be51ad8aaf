"""Rows as objects: each column goes to the field of its name."""

from dataclasses import dataclass
from typing import LiteralString

import psycopg
import pytest

from dev.postgres import RunningPostgres
from lib.database._rows import rows_as


@dataclass(slots=True)
class Positional:
    """A class whose last field a row may lack."""

    a: int
    b: str
    c: str | None = None


@dataclass(slots=True, kw_only=True)
class Named(Positional):
    """A class with a field that has no position."""

    d: int


@pytest.mark.parametrize(
    ("row_class", "sql", "rows"),
    [
        (Positional, "SELECT 1 AS a, 'x' AS b, 'y' AS c", [Positional(1, "x", "y")]),
        (Positional, "SELECT 'y' AS c, 'x' AS b, 1 AS a", [Positional(1, "x", "y")]),
        (Positional, "SELECT 1 AS a, 'x' AS b", [Positional(1, "x")]),
        (Named, "SELECT 1 AS a, 'x' AS b, 'y' AS c, 4 AS d", [Named(a=1, b="x", c="y", d=4)]),
        (Named, "SELECT 4 AS d, 1 AS a, 'x' AS b", [Named(a=1, b="x", d=4)]),
        (Positional, "SELECT 1 AS a, 'x' AS b WHERE false", []),
    ],
)
async def test_each_column_goes_to_the_field_of_its_name(
    postgres: RunningPostgres,
    row_class: type[Positional],
    sql: LiteralString,
    rows: list[Positional],
) -> None:
    assert await _query(postgres, row_class, sql) == rows


@pytest.mark.parametrize("sql", ["SELECT 1 AS a", "SELECT 1 AS a, 'x' AS b, 2 AS e"])
async def test_a_row_that_lacks_a_field_or_has_another_column_is_refused(
    postgres: RunningPostgres, sql: LiteralString
) -> None:
    with pytest.raises(TypeError):
        await _query(postgres, Positional, sql)


async def _query(
    postgres: RunningPostgres, row_class: type[Positional], sql: LiteralString
) -> list[Positional]:
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        cursor = connection.cursor(row_factory=rows_as(row_class))
        return await (await cursor.execute(sql)).fetchall()
