"""The log: a line of JSON for each event, under the id of its request."""

import json
import logging
import re
import traceback
from typing import override

from lib.runtime.trace import Trace, _trace

logger = logging.getLogger("parley")
# These tell of each request that they send, and where to: not as JSON, and of no use here.
for talkative in ("httpx2", "openai"):
    logging.getLogger(talkative).setLevel(logging.WARNING)
# What the server says of a connection that it refuses. Before that, the text says where it is.
REFUSAL = re.compile(r"FATAL: +(.+)")


def log(event: str, *, error: BaseException | None = None, **fields: object) -> None:
    """Write a line to the log, as JSON: an event, the request's id, and the event's fields.

    With an error, its traceback is one of them. Never content, tokens, addresses or connection
    strings.
    """
    found = _trace.get(None)
    line = {"event": event}
    if found is not None and found.request_id:
        line["request_id"] = found.request_id
    if error is None:
        logger.info(json.dumps(line | fields, default=str))
    else:
        told = "".join(traceback.format_exception(error)).rstrip()
        logger.error(json.dumps(line | fields | {"traceback": told}, default=str))


class _Warnings(logging.Handler):
    """Makes lines like all others of what psycopg warns of: its own would hold addresses."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Tell what is warned of, without what it is about but for the server's own words."""
        told = [each for each in record.args or () if isinstance(each, BaseException)]
        refusals = [found[1] for each in told if (found := REFUSAL.search(str(each)))]
        log(
            "database_warning",
            warning=record.msg.replace("%r", "…").replace("%s", "…"),
            cause=type(told[0]).__name__ if told else None,
            refusal=refusals[0] if refusals else None,
        )


_psycopg = logging.getLogger("psycopg")
_psycopg.handlers = [_Warnings()]
_psycopg.propagate = False


def log_request(over: Trace) -> None:
    """Write a line about a request that is over: a stream, when it has ended."""
    log(
        "request",
        function=over.function,
        method=over.method,
        status=over.status,
        code=over.code,
        caller=over.caller,
        total_ms=_milliseconds(over.seconds),
        first_byte_ms=_milliseconds(over.first_byte_seconds),
        db_ms=_milliseconds(over.db_seconds),
        wait_ms=_milliseconds(over.wait_seconds),
        model_ms=_milliseconds(over.model_seconds),
        round_trips=over.round_trips,
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
