"""Cursors of paged lists: where a page ended. They carry no authority: whose rows a page shows is
decided by the caller alone.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast, overload
from uuid import UUID

from lib.http.queries import Reader

type Column = datetime | UUID | int
NOT_GIVEN_OUT = "must be a next_cursor as it was given out"
MAX_CHARS = 500
# Of a bigint of Postgres.
MAX_ROW_ID = 2**63 - 1


def encode_cursor(*position: Column) -> str:
    """Make a cursor of the columns that order a list, as they are in the last row shown."""
    plain = [each if isinstance(each, int) else str(each) for each in position]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).rstrip(b"=").decode()


def page_of[Row](
    found: list[Row], limit: int, position: Callable[[Row], tuple[Column, ...]]
) -> tuple[list[Row], str | None]:
    """Return one page of a list, and the cursor of the next one; None: this is the last.

    Args:
        found: the rows, one more than asked for if there are more.
        limit: rows that a page has.
        position: the columns of a row that order the list.
    """
    page = found[:limit]
    return page, encode_cursor(*position(page[-1])) if len(found) > limit else None


@overload
def cursor[A: Column](a: type[A], /) -> Reader[tuple[A]]: ...


@overload
def cursor[A: Column, B: Column](a: type[A], b: type[B], /) -> Reader[tuple[A, B]]: ...


def cursor(*columns: type[Column]) -> Reader[Any]:
    """Read a cursor back: the position of a list that is ordered by columns of such types."""

    def read(given: str) -> tuple[Column, ...]:
        if len(given) > MAX_CHARS:
            raise ValueError(f"String should have at most {MAX_CHARS} characters")
        try:
            return _position(given, columns)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(NOT_GIVEN_OUT) from error

    return Reader(
        read,
        type="string",
        format=f"{'-'.join(column.__name__ for column in columns)}-cursor".lower(),
        minLength=1,
        maxLength=MAX_CHARS,
        description="The `next_cursor` of the page before.",
    )


def _position(given: str, columns: tuple[type[Column], ...]) -> tuple[Column, ...]:
    padded = given + "=" * (-len(given) % 4)
    content: object = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if not isinstance(content, list):
        raise TypeError
    values = zip(cast("list[object]", content), columns, strict=True)
    return tuple(COLUMNS[column](value) for value, column in values)


def _row_id(value: object) -> int:
    # Not isinstance: a bool is an int.
    if type(value) is not int or not 0 <= value <= MAX_ROW_ID:
        raise ValueError
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError
    # Offsets may have fractions of a second in Python, and not in Postgres.
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
