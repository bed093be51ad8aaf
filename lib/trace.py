"""What happens during one request: where its time went, and lines for the log."""

import json
import logging
import time
from contextvars import ContextVar

from lib.deadlines import Deadline

logger = logging.getLogger("parley")


class Trace:
    """One request: when it must be over, and where its time went.

    Attributes:
        deadline: when it must be over.
        db_seconds: waited for the database.
        model_seconds: waited for the model's first token.
    """

    __slots__ = ("db_seconds", "deadline", "model_seconds", "started_at")

    def __init__(self) -> None:
        """Start the clock."""
        self.started_at = time.monotonic()
        self.deadline = Deadline.of_invocation()
        self.db_seconds = 0.0
        self.model_seconds = 0.0

    def add_db(self, seconds: float) -> None:
        """Add a step of the database."""
        self.db_seconds += seconds

    def server_timing(self) -> str:
        """Return what the header Server-Timing says, in milliseconds (W3C Server Timing)."""
        total = time.monotonic() - self.started_at
        return (
            f"db;dur={self.db_seconds * 1000:.1f}, model;dur={self.model_seconds * 1000:.1f}, "
            f"total;dur={total * 1000:.1f}"
        )


_trace: ContextVar[Trace] = ContextVar("trace")


def begin_trace() -> Trace:
    """Begin the trace of a request; tasks that the request starts share it."""
    started = Trace()
    _trace.set(started)
    return started


def trace() -> Trace:
    """Return the trace of the running request, or a new one outside of any."""
    return _trace.get(None) or begin_trace()


def log(event: str, *, error: BaseException | None = None, **fields: object) -> None:
    """Write a line to the log: an event and its fields; with an error, its traceback too.

    Never content, tokens, addresses or connection strings.
    """
    line = json.dumps({"event": event} | fields, default=str)
    if error is None:
        logger.info(line)
    else:
        logger.error(line, exc_info=error)
