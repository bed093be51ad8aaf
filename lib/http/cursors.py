"""Cursors of paged lists: the position of a page's last row.

A cursor carries no authority: the caller alone decides which rows a page shows.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast, overload
from uuid import UUID

from lib.http.queries import Reader
from lib.identity.clients import keyed

type Column = datetime | UUID | int | str
NOT_A_CURSOR = "must be the next_cursor of an earlier response"
NOT_SIGNED = "must be the cursor of an earlier response to you; leave it out to begin again"
MAX_CHARS = 500
# A signed one may hold texts.
MAX_SIGNED_CHARS = 4000
SIGNATURE_BYTES = 16
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


def signed_cursor(list_name: str, owner: str, kind: str, *position: Column) -> str:
    """Make a cursor that only its owner can use, in a list of rows of several kinds.

    Args:
        list_name: the list.
        owner: the user.
        kind: of the last row.
        position: its values in the columns that order the rows of that kind.
    """
    plain = [kind, *(value if isinstance(value, int) else str(value) for value in position)]
    content = json.dumps(plain, ensure_ascii=False).encode()
    signature = _signature(list_name, owner, content)
    return base64.urlsafe_b64encode(signature + content).rstrip(b"=").decode()


def read_signed_cursor(
    list_name: str,
    owner: str,
    written: str,
    kinds: Mapping[str, tuple[tuple[type[Column], ...], ...]],
) -> tuple[Any, ...]:
    """Return the kind and the position in a signed cursor.

    Args:
        list_name: the list.
        owner: the user.
        written: the cursor.
        kinds: the types of the columns of each kind, in each form that its position may have.

    Raises:
        ValueError: when this user has got no such cursor, or the secrets are others by now.
    """
    try:
        padded = written + "=" * (-len(written) % 4)
        signed = base64.b64decode(padded.encode(), altchars=b"-_", validate=True)
        signature, content = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
        is_genuine = hmac.compare_digest(signature, _signature(list_name, owner, content))
        kind, *position = cast("list[Any]", json.loads(content))
        columns = next(each for each in kinds[kind] if len(each) == len(position))
        values = [COLUMNS[column](value) for column, value in zip(columns, position, strict=True)]
    except (ValueError, TypeError, LookupError, StopIteration, OverflowError) as error:
        raise ValueError(NOT_SIGNED) from error
    if not is_genuine:
        raise ValueError(NOT_SIGNED)
    return (kind, *values)


def _signature(list_name: str, owner: str, content: bytes) -> bytes:
    signed = json.dumps(["cursor", list_name, owner, content.decode("utf-8", "replace")])
    return keyed(signed)[:SIGNATURE_BYTES]


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
    str: _text,
}
