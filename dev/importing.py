"""Import conversations: `python -m dev import URL FILE …`, with the user's token in PARLEY_TOKEN.

URL is the deployment, such as https://chat.example.com. A FILE is an export of Parley's, ChatGPT's
`conversations.json`, or open-webui's export of chats; the content tells which. It is sent in pieces
that a request may have, one after the other, and a conversation that is larger in several. What is
stored already is not stored again: after an interruption, run the same command. See
docs/importing.md.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dev.terminal import CannotStart, tell
from lib.imports import chatgpt, open_webui
from lib.imports.drafts import Format
from lib.imports.endpoint import MAX_PIECE_BYTES

USAGE = "Usage: PARLEY_TOKEN=… python -m dev import URL FILE …"
type Entry = dict[str, Any]
SPLIT: dict[Format, Callable[[Entry, int], Iterator[Entry]]] = {
    "chatgpt": chatgpt.split_conversation,
    "open-webui": open_webui.split_conversation,
}
# Of Parley's export, the lines that an import takes.
TAKEN = {"conversation", "message"}
# What stands around the messages of a piece.
MARGIN_BYTES = 16 * 1024
TIMEOUT_SECONDS = 120
ATTEMPTS = 5
PATIENCE_SECONDS = 60
# With which trying again may help: the database is busy, or out of reach for a moment.
PASSING = {409, 502, 503, 504}


@dataclass(slots=True)
class Report:
    """The sum of the reports.

    Attributes:
        stored: how many conversations and messages are new, or were there already.
        left_out: how many of a kind were left out, by kind and reason in words.
    """

    stored: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def add(self, answer: dict[str, Any]) -> None:
        """Add the report of one piece."""
        for kind in ("conversations", "messages"):
            for outcome in ("new", "already_there"):
                self.stored[kind, outcome] += answer[kind][outcome]
        for each in answer["left_out"]:
            self.left_out[each["kind"], each["detail"]] += each["count"]

    def lines(self) -> Iterator[str]:
        """Yield the lines that tell it."""
        for kind in ("messages", "conversations"):
            new, there = self.stored[kind, "new"], self.stored[kind, "already_there"]
            # In pieces, a conversation is there already with its second one.
            yield f"{new} {kind} are new" + (
                f", and {there} were there already." if kind == "messages" else "."
            )
        for (kind, detail), count in sorted(self.left_out.items()):
            yield f"Left out, {count} of the kind {kind}: {detail}"


def main(arguments: list[str]) -> int:
    """Import files, and print the report; return the exit code.

    Raises:
        CannotStart: when arguments or the token are missing, a file cannot be read, or the
            deployment refuses a piece; the text has its reason.
    """
    token = os.environ.get("PARLEY_TOKEN", "")
    url, *names = arguments or [""]
    if not names or not token:
        raise CannotStart(USAGE)
    if urlsplit(url).scheme not in {"http", "https"}:
        message = f"{url} is no address. {USAGE}"
        raise CannotStart(message)
    report = Report()
    try:
        for name in names:
            for source, body in pieces_of(Path(name), report):
                report.add(_post(f"{url.rstrip('/')}/api/conversations", token, source, body))
                tell(f"{name}: {report.stored['messages', 'new']} new messages so far")
    finally:
        for line in report.lines():
            print(line)
    return 0


def pieces_of(
    path: Path, report: Report, max_bytes: int = MAX_PIECE_BYTES
) -> Iterator[tuple[Format, bytes]]:
    """Yield the pieces of a file, each with its format, as JSON lines.

    Args:
        path: the file.
        report: counts the messages that are too long for a piece.
        max_bytes: of a piece.

    Raises:
        CannotStart: when the file cannot be read, or has none of the formats.
    """
    entries = _entries(path)
    first = next(entries, None)
    if first is None:
        return
    source = _format_of(first, path)
    piece = b""
    for line in _lines(source, first, entries, max_bytes):
        if len(line) > max_bytes:
            report.left_out["message", "It is longer than a request may be."] += 1
            continue
        if len(piece) + len(line) > max_bytes:
            yield source, piece
            piece = b""
        piece += line
    if piece:
        yield source, piece


def _entries(path: Path) -> Iterator[Entry]:
    """Yield the conversations of an array, or the objects of JSON lines."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            begin = file.read(1)
            file.seek(0)
            found: Iterable[object] = json.load(file) if begin == "[" else map(json.loads, file)
            for entry in found:
                if isinstance(entry, dict):
                    yield cast("Entry", entry)
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path} cannot be read: {error}"
        raise CannotStart(message) from error


def _format_of(entry: Entry, path: Path) -> Format:
    if "mapping" in entry:
        return "chatgpt"
    if "chat" in entry or "history" in entry:
        return "open-webui"
    if "type" in entry:
        return "parley"
    message = f"{path} is no export of Parley, ChatGPT or open-webui."
    raise CannotStart(message)


def _lines(
    source: Format, first: Entry, others: Iterable[Entry], max_bytes: int
) -> Iterator[bytes]:
    for entry in (first, *others):
        if source == "parley":
            if entry.get("type") in TAKEN:
                yield _line(entry)
            continue
        line = _line(entry)
        if len(line) <= max_bytes:
            yield line
        else:
            yield from map(_line, SPLIT[source](entry, max_bytes - MARGIN_BYTES))


def _line(entry: Entry) -> bytes:
    # "replace": half of a surrogate pair, which ends up as a question mark.
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def _post(url: str, token: str, source: Format, body: bytes) -> dict[str, Any]:
    """Send a piece, again where that may help; return its report.

    Raises:
        CannotStart: when the deployment refuses it, or cannot be reached.
    """
    headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}
    # main has checked the scheme.
    request = Request(f"{url}?import={source}", body, headers, method="POST")  # noqa: S310
    for attempt in range(1, ATTEMPTS + 1):
        wait = 2.0**attempt
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except HTTPError as error:
            reason, wait = _reason(error), _wait(error, wait)
            if error.code not in PASSING or attempt == ATTEMPTS or wait > PATIENCE_SECONDS:
                message = f"The deployment refused a piece ({error.code}): {reason}"
                raise CannotStart(message) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            if attempt == ATTEMPTS:
                message = f"{url} cannot be reached: {error}. Run the same command again."
                raise CannotStart(message) from error
        time.sleep(wait)
    raise AssertionError


def _reason(error: HTTPError) -> str:
    try:
        problem = json.load(error)
        details = [each["detail"] for each in problem.get("errors", [])]
        return " ".join([problem["detail"], *details])
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)


def _wait(error: HTTPError, usual: float) -> float:
    after = error.headers.get("retry-after", "")
    return float(after) if after.isdecimal() else usual
