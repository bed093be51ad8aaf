"""Values of foreign JSON, of which each may be of any type, or missing.

They are looked for in tuples, because a set fails on an array or an object.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from lib.http.ids import MAX_CHARS
from lib.texts import storable

# Of Unix time: what is later is in milliseconds (as seconds, it would be the year 5138).
MOST_SECONDS = 1e11


def object_in(value: object) -> dict[str, Any]:
    """Return a JSON object; {} for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def list_in(value: object) -> list[Any]:
    """Return a JSON array; [] for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text_in(fields: Mapping[str, Any], *names: str) -> str:
    """Return the first of some fields that is a text with more than spaces; '' if none is."""
    for name in names:
        if isinstance(value := fields.get(name), str) and value.strip():
            return value
    return ""


def id_in(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of some fields that is a text, if it can be an id; else None."""
    found = text_in(fields, *names)
    return found if 1 <= len(found) <= MAX_CHARS and is_storable(found) else None


def is_storable(text: str) -> bool:
    """Tell whether Postgres can store a text."""
    try:
        storable(text)
    except ValueError:
        return False
    return True


def unix_time(value: object) -> datetime | None:
    """Return a Unix time in seconds or milliseconds; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
        seconds = seconds / 1000 if seconds > MOST_SECONDS else seconds
        is_time = math.isfinite(seconds) and seconds > 0
        return datetime.fromtimestamp(seconds, UTC) if is_time else None
    except (OverflowError, OSError, ValueError):
        return None


def iso_time(value: object) -> datetime | None:
    """Return a time as ISO 8601 has it, with its time zone; None: it is none."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        # In UTC, which fails near the ends of the calendar.
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else None
    except (OverflowError, ValueError):
        return None
