"""Event streams in all forms: framing by the HTML standard, and the habits of providers."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.model._events import MAX_EVENT_BYTES, EventStream
from lib.runtime.counting import UNREADABLE_EVENTS, counters

ONE: dict[str, Any] = {"choices": [{"delta": {"content": "Hello \u2028 é 😀"}}]}
TWO: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 1}}
FIRST, SECOND = json.dumps(ONE, ensure_ascii=False).encode(), json.dumps(TWO).encode()
IN_LINES = json.dumps(ONE, ensure_ascii=False, indent=2).encode()
PROBLEM = {"error": {"code": 429, "message": "slow down"}}
REPORTED = json.dumps(PROBLEM).encode()
BOTH = b"data: " + FIRST + b"\n\ndata: " + SECOND + b"\n\n"

FRAMINGS: dict[str, tuple[bytes, list[dict[str, Any]]]] = {
    "line feeds": (BOTH, [ONE, TWO]),
    "carriage returns": (BOTH.replace(b"\n", b"\r"), [ONE, TWO]),
    "both": (BOTH.replace(b"\n", b"\r\n"), [ONE, TWO]),
    "all three": (b"data: " + FIRST + b"\r\n\ndata: " + SECOND + b"\r\r\n", [ONE, TWO]),
    "a byte order mark": (b"\xef\xbb\xbf" + BOTH, [ONE, TWO]),
    "no space after the colon": (BOTH.replace(b"data: ", b"data:"), [ONE, TWO]),
    "comments": (b": PROCESSING\n\n" + BOTH + b":\n\n", [ONE, TWO]),
    "other fields": (b"event: message\nid: 7\nretry: 10\nfoo\ndata: " + FIRST + b"\n\n", [ONE]),
    "an event in several lines": (
        b"".join(b"data: " + line + b"\n" for line in IN_LINES.split(b"\n")) + b"\n", [ONE],
    ),
    "an event in several lines that end with both": (
        b"".join(b"data: " + line + b"\r\n" for line in IN_LINES.split(b"\n")) + b"\r\n", [ONE],
    ),
    "no blank line at the end": (BOTH[:-1], [ONE, TWO]),
    "no end of the last line": (BOTH[:-2], [ONE, TWO]),
    "no blank lines": (BOTH.replace(b"\n\n", b"\n"), [ONE, TWO]),
    "[DONE], and nothing after it": (
        b"data: " + FIRST + b"\n\ndata: [DONE]\n\ndata: " + SECOND + b"\n\n", [ONE],
    ),
    "[DONE] without its blank line": (BOTH + b"data: [DONE]", [ONE, TWO]),
    "surrogates in three bytes each": (
        b'data: {"a": "\xed\xa0\xbd\xed\xb8\x80"}\n\n', [{"a": "\ud83d\ude00"}],
    ),
    "bytes that are not UTF-8": (b'data: {"a": "\xff"}\n\n', [{"a": "\ufffd"}]),
    "an error as an event of that type": (
        b'event: error\ndata: {"code": 429}\n\n', [{"code": 429, "error": {"code": 429}}],
    ),
    "an error as text": (b"event: error\ndata: slow down\n\n", [{"error": "slow down"}]),
    "an error as text in two lines": (
        b"event: error\ndata: slow\ndata:  down\n\n", [{"error": "slow\n down"}],
    ),
    "an error as a field": (b'error: {"code": 429}\n\n', [{"error": {"code": 429}}]),
    "an error as a line": (BOTH + REPORTED + b"\n", [ONE, TWO, PROBLEM]),
    "an error as the body": (REPORTED, [PROBLEM]),
    "a body after blank lines": (b"\n\n\r\n " + REPORTED, [PROBLEM]),
    "a body in several lines": (json.dumps(PROBLEM, indent=4).encode(), [PROBLEM]),
    "a body that is a list": (json.dumps([PROBLEM], indent=4).encode() + b"\n", [PROBLEM]),
    "nothing": (b"", []),
}  # fmt: skip
KEEP_ALIVES = {
    "empty data": b"data:\n\n",
    "blank data": b"data: \n\n",
    "data without a colon": b"data\n\n",
    "null": b"data: null\n\n",
    "a ping": b"event: ping\ndata: ping\n\n",
    "a ping with JSON": b"event: ping\ndata: {}\n\n",
    "a comment": b": heartbeat\n\n",
    "a field": b"id: 7\n\n",
}
UNREADABLE = {
    "no JSON": b"data: {garbled\n\n",
    "a number": b"data: 5\n\n",
    "a list": b"data: []\n\n",
    "another event's half": b"data: {\ndata: " + FIRST + b"\n\n",
    "too many brackets": b"data: " + b"[" * 200_000 + b"\n\n",
    "a number that is too long": b'data: {"a": ' + b"1" * 5000 + b"}\n\n",
    "too long a line": b"data: " + b"x" * 2 * MAX_EVENT_BYTES + b"\n\n",
    "too many lines": b"data: {\n" + (b"data: " + b"x" * 5_000_000 + b"\n") * 6 + b"\n",
}


def read(segments: list[bytes]) -> list[dict[str, Any]]:
    """Return the events in a response that arrives in segments."""
    stream = EventStream()
    return [*(event for each in segments for event in stream.feed(each)), *stream.end()]


def unreadable_count() -> int:
    """Return how many events were counted as unreadable since the last look."""
    cells = counters().take().items()
    return sum(count for key, (count, _) in cells if key[0] == UNREADABLE_EVENTS.name)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_events_are_read_in_each_framing(framing: str) -> None:
    body, expected = FRAMINGS[framing]

    assert read([body]) == expected


@settings(max_examples=500)
@given(st.sampled_from(list(FRAMINGS)), st.data())
def test_events_are_the_same_wherever_the_network_cuts_the_response(
    framing: str, data: st.DataObject
) -> None:
    body, expected = FRAMINGS[framing]
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20))

    segments = [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]

    assert read(segments) == expected


@pytest.mark.parametrize("framing", FRAMINGS)
def test_events_are_the_same_byte_by_byte(framing: str) -> None:
    body, expected = FRAMINGS[framing]

    assert read([bytes([byte]) for byte in body]) == expected


@pytest.mark.parametrize("kind", KEEP_ALIVES)
def test_a_keep_alive_is_no_event_and_is_not_counted(kind: str) -> None:
    found = read([KEEP_ALIVES[kind], BOTH])

    assert [event for event in found if event] == [ONE, TWO]
    assert unreadable_count() == 0


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_event_that_cannot_be_read_is_skipped_and_counted(kind: str) -> None:
    counters().take()
    body = UNREADABLE[kind] + BOTH
    segments = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]

    assert read(segments) == [ONE, TWO]
    assert unreadable_count() == 1


def test_a_whole_object_is_an_event_before_its_blank_line_arrives() -> None:
    stream = EventStream()

    assert stream.feed(b"data: " + FIRST + b"\n") == [ONE]
    assert stream.feed(b"\ndata: [DONE]\n") == []
    assert stream.is_done
