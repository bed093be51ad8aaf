"""What happens during one request: where its time went, and lines for the log."""

import time
from contextvars import ContextVar
from uuid import uuid4

from starlette.types import Scope

from lib.runtime.deadlines import Deadline

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


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-vercel-id":
            given = value.decode("latin-1")
            if 0 < len(given) <= MAX_ID_CHARS and given.isascii() and given.isprintable():
                return given
    return uuid4().hex
