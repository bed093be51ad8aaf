"""A provider's event stream: bytes in, JSON objects out."""

import json
from collections.abc import Iterator
from typing import Any

from lib.model.reply import GarbledStreamError

MAX_EVENT_BYTES = 1024 * 1024


class EventStream:
    """The events of one response.

    Reads as much of the format (WHATWG HTML, "Server-sent events") as providers use: each event is
    one `data:` line.

    Attributes:
        is_done: `[DONE]` has arrived.
    """

    def __init__(self) -> None:
        """Start with nothing received."""
        self.is_done = False
        self._incomplete_line = b""

    def feed(self, received: bytes) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of the events that are complete now, up to `[DONE]`.

        Raises:
            GarbledStreamError: when an event has no end, or is not a JSON object.
        """
        # As bytes: `str.splitlines` would cut a line at each U+2028 of an answer.
        *lines, self._incomplete_line = (self._incomplete_line + received).split(b"\n")
        if len(self._incomplete_line) > MAX_EVENT_BYTES:
            message = "an event has no end"
            raise GarbledStreamError(message)
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self.is_done = True
                return
            yield _parse(data)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        # Decoded here, because `json` would first guess the encoding of bytes.
        event: object = json.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError:
        message = "an event is not JSON"
        raise GarbledStreamError(message) from None
    if not isinstance(event, dict):
        message = "an event is not an object"
        raise GarbledStreamError(message)
    return event  # pyright: ignore[reportUnknownVariableType] (names are text in JSON)
