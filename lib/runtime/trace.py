"""The trace of one request: its id, its deadline, and where its time went."""

import time
from contextvars import ContextVar
from uuid import uuid4

from starlette.types import Scope

from lib.runtime.deadlines import Deadline

# The platform's request ids are shorter; a longer one comes from elsewhere and is not taken.
MAX_ID_CHARS = 200
OUTSIDE = "none"


class Trace:
    """One request: its identity, its deadline, where its time went, and how it ended.

    Attributes:
        request_id: the platform's (`x-vercel-id`) if there is one, else a random one; "" outside
            any request.
        function: the file of `api/` that answers, without its suffix.
        method: of HTTP.
        caller: the kind of caller: `user`, `account` (a local one), `anonymous`, `cron`, `metrics`;
            None: not looked at.
        status: of the response; None: no response has begun.
        code: of the problem that ended the request; None: no problem did.
        deadline: the time by which the request must end.
        db_seconds: waiting for the database, including for a connection.
        wait_seconds: the part of `db_seconds` that went into waiting for a connection.
        model_seconds: waiting for the model's first token.
        first_byte_seconds: from the start of the request to the start of the response.
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
        """Seconds since the request arrived."""
        return time.monotonic() - self.started_at

    def begin_response(self, status: int) -> None:
        """Note the start of the response."""
        self.status = status
        self.first_byte_seconds = self.seconds

    def server_timing(self) -> str:
        """Return the value of the header Server-Timing, in milliseconds (W3C Server Timing)."""
        return (
            f"db;dur={self.db_seconds * 1000:.1f}, model;dur={self.model_seconds * 1000:.1f}, "
            f"total;dur={self.seconds * 1000:.1f}"
        )


_trace: ContextVar[Trace] = ContextVar("trace")


def begin_trace(function: str, scope: Scope) -> Trace:
    """Start the trace of a request; tasks that the request starts share it."""
    request = Trace(function, scope["method"], _request_id(scope))
    _trace.set(request)
    return request


def begin_background() -> None:
    """Start a trace for background work. It gets the same deadline as a request."""
    _trace.set(Trace())


def trace() -> Trace:
    """Return the trace of the running request; of background work, one with time left."""
    current = _trace.get(None)
    if current is None or (not current.request_id and current.deadline.cut_at < time.monotonic()):
        begin_background()
        return _trace.get()
    return current


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-vercel-id":
            request_id = value.decode("latin-1")
            is_short = 0 < len(request_id) <= MAX_ID_CHARS
            if is_short and request_id.isascii() and request_id.isprintable():
                return request_id
    return uuid4().hex
