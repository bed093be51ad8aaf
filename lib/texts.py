"""Text, JSON and addresses that can be stored: checked where a client sends them, else mended."""

import json
import re
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

# Browsers and proxies take no longer ones. A longer one is left out: cut, it would lead elsewhere.
MAX_URL_CHARS = 2048
UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


def storable(text: str) -> str:
    """Return a text, but refuse characters that Postgres cannot store: NUL and lone surrogates."""
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
    """Remove NUL from a text, and replace lone surrogates: Postgres can store neither."""
    return whole_characters(text).replace("\0", "")


def page_url(url: object) -> str | None:
    """Return an address that a page may link to; None: it is none.

    Only http and https, because `javascript:` would run in the page; and no user and password,
    which pass one host off as another.
    """
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or UNSAFE_IN_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_page = is_page and "@" not in parts.netloc and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return url if is_page and storable_text(url) == url else None


def whole_characters(text: str) -> str:
    """Join surrogates that stand side by side to one character, and replace lone ones by U+FFFD.

    JSON writes a character beyond U+FFFF as two of them (RFC 8259, section 7), and Python's `json`
    joins the two only within one string.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Characters:
    """A text that comes in pieces, of which each is given on without half a character at its end.

    A provider may send the two surrogates of an emoji in two pieces.
    """

    __slots__ = ("_half",)

    def __init__(self) -> None:
        """Start with no text."""
        self._half = ""

    def add(self, piece: str) -> str:
        """Return the next piece of the text in whole characters; '' if it is half a character."""
        if self._half:
            piece, self._half = self._half + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return whole_characters(piece)

    def end(self) -> str:
        """Return U+FFFD for a half whose other half never came; '' if there is none."""
        piece, self._half = self._half, ""
        return whole_characters(piece)


def storable_json(value: object) -> object:
    """Make all texts in a JSON value storable, including names of fields."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [storable_json(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {storable_text(name): storable_json(field) for name, field in fields.items()}
    return value


def parse_object(text: str) -> dict[str, Any] | None:
    """Return a JSON object such that Postgres can store it as jsonb; None: it is no JSON object.

    Python reads and writes `NaN` and infinite numbers too, but they are not JSON.
    """
    try:
        value = storable_json(json.loads(text))
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


class ObjectText:
    """The JSON object in a text that comes in pieces.

    Models that should answer with JSON alone also write a block of code, and words around it.
    """

    __slots__ = ("_given", "_text", "is_over")

    def __init__(self) -> None:
        """Start with no text."""
        self._text = ""
        self._given = 0
        self.is_over = False

    def add(self, piece: str) -> str:
        """Return the next piece of the object; '' before its beginning and after its end."""
        if self.is_over:
            return ""
        self._text += piece
        if not self._given:
            self._text = self._text[self._text.find("{") :] if "{" in self._text else ""
        end = len(self._text)
        # Only where the object can end, because this reads all of the text.
        if "}" in piece:
            with suppress(ValueError, RecursionError):
                end = json.JSONDecoder().raw_decode(self._text)[1]
                self.is_over = True
        piece, self._given = self._text[self._given : end], end
        return piece


def jsonb(value: object) -> str | None:
    """Return a value as text for a parameter of type jsonb; None stays null."""
    return None if value is None else json.dumps(value)


def json_text(value: object) -> str | None:
    """Return a value as text for a parameter of type json; None stays null.

    Other characters than ASCII are escaped: so Postgres stores NUL and lone surrogates too, as long
    as it does not read them (a conversion to jsonb does).

    Raises:
        ValueError: when the value has a number that JSON has not: NaN, or an infinite one.
        RecursionError: when it is too deep.
    """
    return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))
