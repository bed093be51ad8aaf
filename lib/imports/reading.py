"""The body of an import: JSON lines, or a JSON array."""

from typing import cast

from lib.http.bodies import read_json_text
from lib.problems import MalformedRequest

NO_LINES = "Line {} is no JSON. Send whole lines of the file, or a whole JSON array."


def entries_of(body: bytes) -> list[object]:
    """Return the elements of a JSON array, or of each line its JSON.

    Raises:
        MalformedRequest: when a line cannot be parsed, or is nested too deeply.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedRequest("The body is not UTF-8.") from error
    if text.lstrip()[:1] == "[":
        try:
            return cast("list[object]", read_json_text(text))
        except ValueError as error:
            raise MalformedRequest from error
    entries: list[object] = []
    # Not `splitlines`, which also splits at characters that JSON has within texts.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entries.append(read_json_text(line))
        except ValueError as error:
            raise MalformedRequest(NO_LINES.format(number)) from error
    return entries
