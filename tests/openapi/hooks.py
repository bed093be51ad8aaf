"""What Schemathesis cannot know: texts that fit formats of Parley's own. It loads this file."""

import json
import string

import schemathesis
from hypothesis import strategies

from lib.accounts import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS
from lib.cursors import encode_cursor

IDS = strategies.integers(0, 2**63 - 1)
UUIDS = strategies.uuids()
TIMES = strategies.datetimes(timezones=strategies.timezones())

schemathesis.openapi.format("tasks-cursor", IDS.map(encode_cursor))
schemathesis.openapi.format("history-cursor", IDS.map(encode_cursor))
schemathesis.openapi.format("conversations-cursor", strategies.builds(encode_cursor, TIMES, UUIDS))
schemathesis.openapi.format("mistakes-cursor", strategies.builds(encode_cursor, TIMES, IDS))
# Measured in bytes.
schemathesis.openapi.format(
    "password",
    strategies.text(
        string.ascii_letters + string.digits + string.punctuation,
        min_size=MIN_PASSWORD_CHARS,
        max_size=MAX_PASSWORD_BYTES,
    ),
)


@schemathesis.deserializer("application/x-ndjson", "application/jsonl")
def lines(_context: schemathesis.DeserializationContext, response: schemathesis.Response) -> object:
    """Return the first line: the schema is of a line, and `make test` checks each."""
    if not response.content:
        raise NotImplementedError
    return json.loads(response.content.partition(b"\n")[0])
