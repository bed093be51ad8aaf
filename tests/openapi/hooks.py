"""Values for Parley's own formats, and a rule for calls. Schemathesis loads this file."""

import json
import os
import string
from datetime import datetime
from typing import Any

import schemathesis
from hypothesis import strategies

from lib.http.cursors import encode_cursor
from lib.users.bodies import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS

# Operations after which much is gone.
LEAVING = {"deleteAccount", "deleteConversations"}

IDS = strategies.integers(0, 2**63 - 1)
UUIDS = strategies.uuids()
# Of rows: not in the first year or the last, which by UTC may be no year of Python's.
TIMES = strategies.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001 (the strategy adds the time zone)
    datetime(9998, 12, 31),  # noqa: DTZ001 (likewise)
    timezones=strategies.timezones(),
)

schemathesis.openapi.format("int-cursor", IDS.map(encode_cursor))
schemathesis.openapi.format("datetime-uuid-cursor", strategies.builds(encode_cursor, TIMES, UUIDS))
schemathesis.openapi.format("datetime-int-cursor", strategies.builds(encode_cursor, TIMES, IDS))
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


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType] (its types are half there)
def before_call(_context: object, case: Any, _options: object) -> None:
    """Let another user delete everything: the other requests need the data of their user."""
    name = case.operation.definition.raw["operationId"]
    users = f"Bearer {os.environ['USER_TOKEN']}"
    if name in LEAVING and case.headers.get("Authorization") == users:
        case.headers["Authorization"] = f"Bearer {os.environ['LEAVER_TOKEN']}"
