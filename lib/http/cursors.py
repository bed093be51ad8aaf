"""Cursors of paged lists: the position of a page's last row.

A cursor carries no authority: the caller alone decides which rows a page shows.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast, overload
from uuid import UUID

from lib.http.queries import Reader

type Column = datetime | UUID | int
NOT_A_CURSOR = "must be the next_cursor of an earlier response"
MAX_CHARS = 500
# The largest bigint of Postgres.
MAX_ROW_ID = 2**63 - 1


def encode_cursor(*position: Column) -> str:
    """Make a cursor from the values of the last row in the columns that order the list."""
    plain = [value if isinstance(value, int) else str(value) for value in position]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).rstrip(b"=").decode()


def page_of[Row](
    rows: list[Row], limit: int, position: Callable[[Row], tuple[Column, ...]]
) -> tuple[list[Row], str | None]:
    """Return one page of a list, and the cursor of the next page; None: this is the last page.

    Args:
        rows: the rows from the page's first on; more than `limit` if there is a next page.
        limit: rows on a page.
        position: returns a row's values in the columns that order the list.
    """
    page = rows[:limit]
    return page, encode_cursor(*position(page[-1])) if len(rows) > limit else None


@overload
def cursor[A: Column](a: type[A], /) -> Reader[tuple[A]]: ...


@overload
def cursor[A: Column, B: Column](a: type[A], b: type[B], /) -> Reader[tuple[A, B]]: ...


def cursor(*columns: type[Column]) -> Reader[Any]:
    """Return a reader of cursors of a list that is ordered by columns of these types."""

    def read(written: str) -> tuple[Column, ...]:
        if len(written) > MAX_CHARS:
            raise ValueError(f"String should have at most {MAX_CHARS} characters")
        try:
            return _position(written, columns)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(NOT_A_CURSOR) from error

    return Reader(
        read,
        type="string",
        format=f"{'-'.join(column.__name__ for column in columns)}-cursor".lower(),
        minLength=1,
        maxLength=MAX_CHARS,
        description="The `next_cursor` of the page before.",
    )


def _position(written: str, columns: tuple[type[Column], ...]) -> tuple[Column, ...]:
    padded = written + "=" * (-len(written) % 4)
    content: object = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if not isinstance(content, list):
        raise TypeError
    values = zip(cast("list[object]", content), columns, strict=True)
    return tuple(COLUMNS[column](value) for value, column in values)


def _row_id(value: object) -> int:
    # Not isinstance, because a bool is an int too.
    if type(value) is not int or not 0 <= value <= MAX_ROW_ID:
        raise ValueError
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError
    # In UTC, because Postgres cannot read an offset with fractions of a second, as Python can.
    return time.astimezone(UTC)


def _uuid(value: object) -> UUID:
    return UUID(_text(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


COLUMNS: dict[type[Column], Callable[[object], Column]] = {
    int: _row_id,
    datetime: _time,
    UUID: _uuid,
}
