"""The compact form in which a stream's events are stored: a run of pieces is one line.

The event of a token is some 50 bytes longer than its text, so the events of 30,000 tokens are ten
times their text. A run of pieces of one text, thought or tool call is stored as one line instead:

    r0 673 First, let me see.
    │  │   └─ the text, escaped as in a JSON string
    │  └───── the length of each piece, in characters; one from 36 on stands in brackets: `(120)`
    └──────── `r` for a thought, `t` for a text, `a` for a call's arguments; and its id

All other events are stored as they are. The lines end as events do, so stored pieces of a stream
can be joined. `expand` gives the events back, byte for byte.
"""

import json
import re
from collections.abc import Iterator, Sequence

# How an event begins, up to its text.
OPENING = re.compile(
    rb'data: \{"type":"(?:(t)ext-delta|(r)easoning-delta|tool-input-delt(a))",'
    rb'"(?:id|toolCallId)":"([!#-\[\]-~]+)","(?:delta|inputTextDelta)":"'
)
# As numbers, because `in` is ten times slower with bytes.
BACKSLASH, QUOTE = b'\\"'
KINDS = {
    "t": 'data: {"type":"text-delta","id":"%s","delta":"',
    "r": 'data: {"type":"reasoning-delta","id":"%s","delta":"',
    "a": 'data: {"type":"tool-input-delta","toolCallId":"%s","inputTextDelta":"',
}
CLOSING = b'"}\n\n'
END_OF_EVENT = b"\n\n"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
VALUES = {digit: value for value, digit in enumerate(DIGITS)}


def compact(events: list[bytes]) -> bytes:
    """Return the stored form of some events."""
    lines: list[bytes] = []
    position = 0
    while position < len(events):
        start, event = position, events[position]
        position += 1
        run = _run_of(event)
        if run is None:
            lines.append(event)
            continue
        name, opening = run
        first, last = len(opening), -len(CLOSING)
        pieces = [event[first:last]]
        while position < len(events):
            event = events[position]
            if not (event.startswith(opening) and event.endswith(CLOSING)):
                break
            pieces.append(event[first:last])
            position += 1
        lines += _lines(name, pieces, events[start:position])
    return b"".join(lines)


def expand(stored: bytes) -> list[bytes]:
    """Return the events of a stored piece of a stream.

    Raises:
        ValueError: when it is not one.
        LookupError: likewise.
    """
    events: list[bytes] = []
    for line in stored.split(END_OF_EVENT)[:-1]:
        if line.startswith(b"d"):
            events.append(line + END_OF_EVENT)
        else:
            events += _events(line.decode())
    return events


def _run_of(event: bytes) -> tuple[str, bytes] | None:
    """Return the name of the run that an event may begin, and the opening of its events."""
    match = OPENING.match(event)
    if match is None or not event.endswith(CLOSING):
        return None
    text, thought, arguments, part_id = match.groups()
    kind, part_id = (text or thought or arguments).decode(), part_id.decode()
    # Not where fields of two kinds are mixed.
    is_of_kind = (KINDS[kind] % part_id).encode() == match[0]
    return (kind + part_id, match[0]) if is_of_kind else None


def _lines(name: str, pieces: list[bytes], events: list[bytes]) -> Iterator[bytes]:
    """Yield a run as its line; in several, around events that would not come back as they are."""
    joined = b"".join(pieces)
    is_ascii = joined.isascii() and joined.decode().isprintable()
    if is_ascii and BACKSLASH not in joined and QUOTE not in joined:
        yield b"%b %b %b\n\n" % (name.encode(), _lengths(pieces).encode(), joined)
        return
    # Without a call for a plain piece, because each token comes through here.
    texts = [
        piece.decode()
        if is_ascii and BACKSLASH not in piece and QUOTE not in piece
        else _unescaped(piece)
        for piece in pieces
    ]
    run: list[str] = []
    for text, event in zip(texts, events, strict=True):
        if text is not None:
            run.append(text)
            continue
        if run:
            yield _line(name, run)
        yield event
        run = []
    if run:
        yield _line(name, run)


def _line(name: str, run: list[str]) -> bytes:
    text = json.dumps("".join(run), ensure_ascii=False)[1:-1]
    return f"{name} {_lengths(run)} {text}\n\n".encode()


def _lengths(pieces: Sequence[bytes | str]) -> str:
    lengths = [*map(len, pieces)]
    if max(lengths) < len(DIGITS):
        return "".join([DIGITS[length] for length in lengths])
    return "".join([DIGITS[each] if each < len(DIGITS) else f"({each})" for each in lengths])


def _unescaped(piece: bytes) -> str | None:
    """Return the text of a piece; None: it would not come back as it is, or cannot be stored."""
    try:
        text: str = json.loads(b'"%b"' % piece)
        # Fails for half a surrogate pair.
        text.encode()
    except ValueError:
        return None
    return text if json.dumps(text)[1:-1].encode() == piece else None


def _events(line: str) -> Iterator[bytes]:
    """Yield the events of a run."""
    name, lengths, escaped = line.split(" ", 2)
    opening = (KINDS[name[0]] % name[1:]).encode()
    text: str = json.loads(f'"{escaped}"')
    start = 0
    for length in _numbers(lengths):
        piece = json.dumps(text[start : start + length])[1:-1]
        start += length
        yield opening + piece.encode() + CLOSING


def _numbers(lengths: str) -> Iterator[int]:
    short, *others = lengths.split("(")
    yield from map(VALUES.__getitem__, short)
    for other in others:
        long, _, short = other.partition(")")
        yield int(long)
        yield from map(VALUES.__getitem__, short)
