"""What the product has logged."""

import json
from typing import Any

import pytest


def events_of(caplog: pytest.LogCaptureFixture, *names: str) -> list[dict[str, Any]]:
    """Return the lines of some events, but for the request's id; with none named, of all."""
    lines: list[dict[str, Any]] = [
        json.loads(record.getMessage()) for record in caplog.records if record.name == "parley"
    ]
    return [
        {name: value for name, value in line.items() if name != "request_id"}
        for line in lines
        if not names or line["event"] in names
    ]
