"""Cursors of paged lists: where a page ended. They carry no authority: whose rows a page shows is
decided by the caller alone.
"""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from lib.problems import InvalidRequest


def encode_cursor(*position: datetime | UUID | int) -> str:
    """Make a cursor of the columns that order a list, as they are in the last row shown."""
    plain = [each if isinstance(each, int) else str(each) for each in position]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).rstrip(b"=").decode()


def page_of[Row](
    found: list[Row], limit: int, position: Callable[[Row], tuple[datetime | UUID | int, ...]]
) -> tuple[list[Row], str | None]:
    """Return one page of a list, and the cursor of the next one; None: this is the last.

    Args:
        found: the rows, one more than asked for if there are more.
        limit: rows that a page has.
        position: the columns of a row that order the list.
    """
    page = found[:limit]
    return page, encode_cursor(*position(page[-1])) if len(found) > limit else None


def decode_cursor[Position](cursor: str, position: type[Position], field: str) -> Position:
    """Read a cursor back.

    Args:
        cursor: what a client sent.
        position: the type of its columns, a tuple.
        field: the parameter that it came in.

    Raises:
        InvalidRequest: it is no cursor of such a list.
    """
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return TypeAdapter(position).validate_json(plain)
    except (binascii.Error, ValidationError, ValueError) as error:
        detail = "must be a next_cursor as it was given out"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}]) from error
