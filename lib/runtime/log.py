"""The log: a line of JSON for each event, with the id of its request."""

import json
import logging
import re
import traceback
from typing import override

from lib.runtime.trace import Trace, _trace

logger = logging.getLogger("parley")
# These packages log each request that they send, not as JSON; Parley logs its own.
for verbose in ("httpx2", "openai"):
    logging.getLogger(verbose).setLevel(logging.WARNING)
# The server's words when it refuses a connection. The text before them has its address.
REFUSAL = re.compile(r"FATAL: +(.+)")


def log(event: str, *, error: BaseException | None = None, **fields: object) -> None:
    """Log a line of JSON: an event, the request's id, the event's fields, an error's traceback.

    Never log content, tokens, addresses or connection strings.
    """
    request = _trace.get(None)
    line = {"event": event}
    if request is not None and request.request_id:
        line["request_id"] = request.request_id
    if error is None:
        logger.info(json.dumps(line | fields, default=str))
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
        logger.error(json.dumps(line | fields | {"traceback": text}, default=str))


class _Warnings(logging.Handler):
    """Turns the warnings of psycopg, which have addresses in them, into lines of the log."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Log a warning without its arguments, except for the server's words in a refusal."""
        errors = [argument for argument in record.args or () if isinstance(argument, BaseException)]
        refusals = [match[1] for error in errors if (match := REFUSAL.search(str(error)))]
        log(
            "database_warning",
            warning=record.msg.replace("%r", "…").replace("%s", "…"),
            cause=type(errors[0]).__name__ if errors else None,
            refusal=refusals[0] if refusals else None,
        )


_psycopg = logging.getLogger("psycopg")
_psycopg.handlers = [_Warnings()]
_psycopg.propagate = False


def log_request(request: Trace) -> None:
    """Log a request that has ended; a stream, after its end."""
    log(
        "request",
        function=request.function,
        method=request.method,
        status=request.status,
        code=request.code,
        caller=request.caller,
        total_ms=_milliseconds(request.seconds),
        first_byte_ms=_milliseconds(request.first_byte_seconds),
        db_ms=_milliseconds(request.db_seconds),
        wait_ms=_milliseconds(request.wait_seconds),
        model_ms=_milliseconds(request.model_seconds),
        round_trips=request.round_trips,
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
