"""What happens during one request: where its time went, and lines for the log."""

import json
import logging
import re
import time
import traceback
from contextvars import ContextVar
from typing import override
from uuid import uuid4

from starlette.types import Scope

from lib.deadlines import Deadline

logger = logging.getLogger("parley")
# These tell of each request that they send, and where to: not as JSON, and of no use here.
for talkative in ("httpx2", "openai"):
    logging.getLogger(talkative).setLevel(logging.WARNING)
# What the server says of a connection that it refuses. Before that, the text says where it is.
REFUSAL = re.compile(r"FATAL: +(.+)")

# What the platform's request ids are made of; a longer or another one is somebody's joke.
MAX_ID_CHARS = 200
OUTSIDE = "none"


class Trace:
    """One request: what it is, when it must be over, where its time went, and how it ended.

    Attributes:
        request_id: the platform's (`x-vercel-id`) where it gives one, else our own; "" outside of
            any request.
        function: the file of `api/` that answers, without its suffix.
        method: HTTP's.
        caller: what kind of caller it is: `user`, `account` (a local one), `anonymous`, `cron`,
            `metrics`; None: it was not looked at.
        status: of the response; None: none was begun.
        code: of the problem that it ended in; None: it did not.
        deadline: when it must be over.
        db_seconds: waited for the database, for a connection too.
        wait_seconds: of these, waited for a connection.
        model_seconds: waited for the model's first token.
        first_byte_seconds: from the beginning until the response began.
        round_trips: steps that were sent to the database.
    """

    __slots__ = (
        "caller",
        "code",
        "db_seconds",
        "deadline",
        "first_byte_seconds",
        "function",
        "method",
        "model_seconds",
        "request_id",
        "round_trips",
        "started_at",
        "status",
        "wait_seconds",
    )

    def __init__(self, function: str = OUTSIDE, method: str = "", request_id: str = "") -> None:
        """Start the clock."""
        self.started_at = time.monotonic()
        self.deadline = Deadline.of_invocation()
        self.request_id = request_id
        self.function = function
        self.method = method
        self.caller: str | None = None
        self.status: int | None = None
        self.code: str | None = None
        self.db_seconds = 0.0
        self.wait_seconds = 0.0
        self.model_seconds = 0.0
        self.first_byte_seconds = 0.0
        self.round_trips = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started_at

    def begin_response(self, status: int) -> None:
        """Take down that the response begins."""
        self.status = status
        self.first_byte_seconds = self.seconds

    def server_timing(self) -> str:
        """Return what the header Server-Timing says, in milliseconds (W3C Server Timing)."""
        return (
            f"db;dur={self.db_seconds * 1000:.1f}, model;dur={self.model_seconds * 1000:.1f}, "
            f"total;dur={self.seconds * 1000:.1f}"
        )


_trace: ContextVar[Trace] = ContextVar("trace")


def begin_trace(function: str, scope: Scope) -> Trace:
    """Begin the trace of a request; tasks that the request starts share it."""
    started = Trace(function, scope["method"], _request_id(scope))
    _trace.set(started)
    return started


def begin_background() -> None:
    """Begin the trace of what is done for no request: it has the time that a request has."""
    _trace.set(Trace())


def trace() -> Trace:
    """Return the trace of the running request; outside of any, one that has time left."""
    found = _trace.get(None)
    if found is None or (not found.request_id and found.deadline.cut_at < time.monotonic()):
        begin_background()
        return _trace.get()
    return found


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


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-vercel-id":
            given = value.decode("latin-1")
            if 0 < len(given) <= MAX_ID_CHARS and given.isascii() and given.isprintable():
                return given
    return uuid4().hex


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
