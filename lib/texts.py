"""Text, JSON and addresses that can be stored: checked where a client sends them, else mended."""

import json
import re
from contextlib import suppress
from typing import Any, cast
from unicodedata import normalize
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


def normalized_password(password: str) -> str:
    """Return a password such that every keyboard makes the same of it: in Unicode's form NFKC.

    NIST SP 800-63B (5.1.1.2) names NFKC or NFKD, to be applied before hashing. An umlaut is one
    character of one keyboard and two of another, and a Japanese one has wide letters. NFC (RFC
    8265) would keep those apart.
    """
    return normalize("NFKC", password)


def normalized_address(address: str) -> str:
    """Return an e-mail address in the one form in which it is stored and compared.

    In small letters and in Unicode's form NFKC; without spaces around it; its domain in letters,
    not in their ASCII form (`xn--`), and without the dot of the root. The codec `idna` of the
    standard library is that of 2003, for which straße.de is strasse.de: today two domains, of
    two owners. A text that is no address stays what it is otherwise.
    """
    address = normalize("NFKC", normalize("NFKC", address).strip().lower())
    local, at, domain = address.rpartition("@")
    if not at or not domain.strip("."):
        return address
    labels = domain.replace("\u3002", ".").removesuffix(".").split(".")
    return f"{local}@{'.'.join(map(_letters, labels))}"


def _letters(label: str) -> str:
    """Return the letters of a domain's label; a label `xn--` that none has stays as it is."""
    if not label.startswith("xn--"):
        return label
    try:
        letters = label[4:].encode("ascii").decode("punycode")
        # No second label has these letters.
        is_own = letters.encode("punycode").decode() == label[4:]
    except UnicodeError:
        return label
    # Neither a dot nor an @ among them, and in the form that letters have here.
    is_label = all(letter.isalnum() or letter == "-" or not letter.isascii() for letter in letters)
    is_normal = normalize("NFKC", letters.lower()) == letters
    return letters if is_own and is_label and is_normal and not letters.isascii() else label


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
