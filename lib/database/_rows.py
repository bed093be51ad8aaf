"""Rows as objects of the class that their statement names."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from itertools import takewhile
from typing import Any

from psycopg import AsyncCursor

type MakeRow[Row] = Callable[[Sequence[Any]], Row]


@cache
def rows_as[Row](row_class: type[Row]) -> Callable[[AsyncCursor[Any]], MakeRow[Row]]:
    """Return a row factory for psycopg that makes objects of a dataclass, by the columns' names.

    The columns that are the class's first fields in order go there by position, and only the
    others by name. That is faster than `psycopg.rows.class_row`, which names each value of each
    row: 0.4 instead of 6.3 microseconds for 27 columns, in a class that is not frozen (3.2 instead
    of 9.4 in a frozen one).

    Args:
        row_class: a dataclass. A field without a column needs a default.
    """

    def factory(cursor: AsyncCursor[Any]) -> MakeRow[Row]:
        result = cursor.pgresult
        assert result is not None
        return _maker(row_class, tuple(result.fname(column) for column in range(result.nfields)))

    return factory


@cache
def _maker[Row](row_class: type[Row], columns: tuple[bytes | None, ...]) -> MakeRow[Row]:
    names = [(column or b"").decode() for column in columns]
    positional = [field.name for field in fields(row_class) if not field.kw_only]  # pyright: ignore[reportArgumentType]
    in_order = [*takewhile(lambda pair: pair[0] == pair[1], zip(names, positional, strict=False))]
    count, rest = len(in_order), names[len(in_order) :]
    if not rest:
        return lambda values: row_class(*values)
    return lambda values: row_class(*values[:count], **dict(zip(rest, values[count:], strict=True)))
