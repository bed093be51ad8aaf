"""Text and JSON: from elsewhere, such that Postgres can store it, and to elsewhere."""

import json
from typing import Any, cast


def storable(text: str) -> str:
    """Refuse what Postgres cannot store: NUL and lone surrogates."""
    if "\0" in text:
        message = "must not contain the character NUL"
        raise ValueError(message)
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "must not contain lone surrogates"
        raise ValueError(message) from None
    return text


def storable_text(text: str) -> str:
    """Replace what neither Postgres nor UTF-8 can carry: NUL, and halves of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")


def storable_json(value: object) -> object:
    """Return a JSON value with each text in it made storable, names of fields too."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [storable_json(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {storable_text(name): storable_json(each) for name, each in fields.items()}
    return value


def parse_object(text: str) -> dict[str, Any] | None:
    """Read a JSON object that Postgres can store as jsonb; None: it is none.

    `NaN` and numbers without end are not JSON, though Python reads and writes them.
    """
    try:
        value = storable_json(json.loads(text))
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def jsonb(value: object) -> str | None:
    """Return what is bound to a parameter of type jsonb; None stays null."""
    return None if value is None else json.dumps(value)
