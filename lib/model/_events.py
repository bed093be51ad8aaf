"""A provider's event stream: bytes in, JSON objects out."""

import json
from typing import Any, cast

from lib.runtime.counting import note_unreadable_event

# Of one event, and of one line: 16 MB of pictures as base64, and what stands around them.
MAX_EVENT_BYTES = 24 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DONE = b"[DONE]"
# Without the look of `json.loads` at its options, because each token comes through here.
read_json = json.JSONDecoder().decode
# Types of events that only keep the connection open; their data need not be JSON.
HEARTBEATS = {b"ping", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive"}


class EventStream:
    """The events of one response, as the HTML standard reads them ("Interpreting an event stream").

    Where providers do not keep to the standard, it reads more:

    - The first line of an event's data counts at once if it is a whole object. For JSON that makes
      no difference, because no object goes on after its end.
    - The last event counts without its blank line, when the response ends.
    - An error may come as a line of JSON instead of an event, or as `error: {…}` (llama.cpp).
    - A response may be one JSON object, in reply to a request for a stream.

    Data that cannot be read is skipped and counted: mostly it keeps the connection open.

    Attributes:
        is_done: `[DONE]` has arrived.
    """

    __slots__ = (
        "_data",
        "_json",
        "_more",
        "_more_bytes",
        "_rest",
        "_skips_line",
        "_type",
        "_was_return",
        "_with_mark",
        "is_done",
    )

    def __init__(self) -> None:
        """Start with nothing received."""
        self.is_done = False
        # The last line, as far as it has arrived.
        self._rest = b""
        # What came behind that, in pieces: to add up a picture each time would copy it each time.
        self._more: list[bytes] = []
        self._more_bytes = 0
        self._skips_line = False
        # The last byte was a carriage return, so a line feed that follows ends no other line.
        self._was_return = False
        # No line is complete yet, and the first one may begin with BYTE_ORDER_MARK.
        self._with_mark = True
        # The event whose blank line has not arrived: its data, and its type.
        self._data = bytearray()
        self._type = b""
        # A JSON text that is in no event, as far as it has arrived.
        self._json = bytearray()

    def feed(self, received: bytes) -> list[dict[str, Any]]:
        """Return the JSON objects of the events that are complete now, up to `[DONE]`."""
        found: list[dict[str, Any]] = []
        is_odd = received and (self._was_return or b"\r" in received)
        received = self._with_line_feeds(received) if is_odd else received
        if b"\n" not in received:
            self._keep(received)
            return found
        # As bytes: `str.splitlines` would cut a line at each U+2028 of an answer.
        *lines, self._rest = ((self._beginning() if self._more else self._rest) + received).split(
            b"\n"
        )
        if lines and (self._with_mark or self._skips_line):
            lines = self._without_refuse(lines)
        if len(self._rest) > MAX_EVENT_BYTES:
            self._skip_line()
        for line in lines:
            if self.is_done:
                break
            if not line:
                if self._data or self._type:
                    self._end_event(found)
            elif not line.startswith(b"data:"):
                self._read_field(line, found)
            # Nearly each event is one line with an object.
            elif self._data or (event := _object_in(line[5:])) is None:
                self._read_data(line[5:], found)
            else:
                found.append(self._of_type(event) if self._type else event)
        return found

    def end(self) -> list[dict[str, Any]]:
        """Return the JSON objects that the end of the response completes."""
        found = self.feed(b"\n\n")
        if self._json and not self.is_done:
            self._end_json(found)
        return found

    def _with_line_feeds(self, received: bytes) -> bytes:
        """Return bytes whose lines end with line feeds, whether with CR, LF or both before."""
        if self._was_return:
            received = received.removeprefix(b"\n")
        self._was_return = received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_refuse(self, lines: list[bytes]) -> list[bytes]:
        """Return lines without the end of a line that is too long, or the byte order mark."""
        if self._skips_line:
            self._skips_line = False
            lines = lines[1:]
        if self._with_mark and lines:
            self._with_mark = False
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        return lines

    def _beginning(self) -> bytes:
        """Return the last line, which came in pieces, as far as it has arrived."""
        pieces, self._more, self._more_bytes = self._more, [], 0
        return b"".join((self._rest, *pieces))

    def _keep(self, received: bytes) -> None:
        """Keep the middle of a line."""
        if self._skips_line:
            return
        self._more.append(received)
        self._more_bytes += len(received)
        if len(self._rest) + self._more_bytes > MAX_EVENT_BYTES:
            self._skip_line()

    def _skip_line(self) -> None:
        if not self._skips_line:
            note_unreadable_event()
        self._rest, self._skips_line = b"", True
        self._more, self._more_bytes = [], 0

    def _read_data(self, data: bytes, found: list[dict[str, Any]]) -> None:
        """Read a line of an event's data that is no object by itself."""
        line = data.strip()
        if line.strip(b'"') == DONE:
            # No JSON has such a line, so it needs no blank line.
            if self._data:
                self._end_event(found)
            self.is_done = True
        elif line:
            self._data = _with_line(self._data, data.removeprefix(b" "))

    def _read_field(self, line: bytes, found: list[dict[str, Any]]) -> None:
        """Read a line that is not blank and does not begin with `data:`."""
        name, _, value = line.partition(b":")
        if name == b"event":
            self._type = value.strip()
        elif name == b"error":
            found.append({"error": _parsed(value)})
        elif self._json or line.lstrip()[:1] in (b"{", b"["):
            is_first = not self._json
            self._json = _with_line(self._json, line)
            # An object that is written in several lines ends where one is not indented.
            if line[:1] in (b"}", b"]"):
                self._end_json(found)
            elif is_first:
                self._end_json(found, may_go_on=True)

    def _end_event(self, found: list[dict[str, Any]]) -> None:
        """End an event, at its blank line; its data is no object in the first line."""
        if self._data:
            event = _parsed(self._data)
            if isinstance(event, dict):
                found.append(self._of_type(cast("dict[str, Any]", event)))
            elif self._type == b"error":
                found.append({"error": event})
            elif event is not None and self._type not in HEARTBEATS:
                note_unreadable_event()
        self._data, self._type = bytearray(), b""

    def _of_type(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event; one of type `error` has its error under that name."""
        if self._type == b"error" and not event.get("error"):
            return event | {"error": event}
        return event

    def _end_json(self, found: list[dict[str, Any]], *, may_go_on: bool = False) -> None:
        """Read a JSON text that is in no event: an object, or as Google has it, a list of them."""
        content = _parsed(self._json)
        items = cast("list[object]", content) if isinstance(content, list) else [content]
        objects = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
        if may_go_on and not objects:
            return
        if not objects:
            note_unreadable_event()
        found += objects
        self._json = bytearray()


def _object_in(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line; None: there is none, or it is not UTF-8."""
    try:
        # Decoded here, because `json.loads` would first guess the encoding of bytes.
        event = read_json(data.decode())
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _with_line(text: bytearray, line: bytes) -> bytearray:
    """Return a text with one more line; a text that becomes too long is dropped."""
    if len(text) + len(line) > MAX_EVENT_BYTES:
        note_unreadable_event()
        return bytearray()
    if text:
        text += b"\n"
    text += line
    return text


def _parsed(data: bytes | bytearray) -> object:
    """Return JSON, or text that is no JSON as it is; U+FFFD stands for bytes that are not UTF-8."""
    try:
        # Some encoders write the two surrogates of a character as three bytes each.
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
