"""The log: a line of JSON for each event, with the id of its request."""

import json
import logging
import math
import re
import time
import traceback
from typing import override

from lib.runtime.trace import Trace, _trace

logger = logging.getLogger("parley")
SELDOM_SECONDS = 60.0
# For each event and cause: when it was logged, and how often it happened since.
_seldom: dict[tuple[str, str], tuple[float, int]] = {}
# These packages log each request that they send, not as JSON; Parley logs its own.
for verbose in ("httpx2", "openai"):
    logging.getLogger(verbose).setLevel(logging.WARNING)
# The server's words when it refuses a connection. The text before them has its address.
REFUSAL = re.compile(r"FATAL: +(.+)")
# The address of this client, in such words.
OWN_ADDRESS = re.compile(r'\bhost "[^"]*"')
CAUSED = "\n\nThe above exception was the direct cause of the following exception:"
MEANWHILE = "\n\nDuring handling of the above exception, another exception occurred:"


def log(event: str, *, error: BaseException | None = None, **fields: object) -> None:
    """Log a line of JSON: an event, the request's id, the event's fields, an error's traceback.

    Never log content, tokens, addresses or connection strings: see `traceback_of`.
    """
    request = _trace.get(None)
    line = {"event": event}
    if request is not None and request.request_id:
        line["request_id"] = request.request_id
    if error is None:
        logger.info(json.dumps(line | fields, default=str))
    else:
        whole = line | fields | {"traceback": traceback_of(error)}
        logger.error(json.dumps(whole, default=str))


def log_seldom(event: str, cause: str, *, detail: str | None = None) -> None:
    """Log an event that strangers can bring about: once a minute for each cause and process.

    Args:
        event: the event.
        cause: one of few words of Parley's own.
        detail: the text that the client gets, if it tells more.

    The line's field `more` says how often it happened without a line since the one before.
    """
    now = time.monotonic()
    logged_at, more = _seldom.get((event, cause), (-math.inf, 0))
    if now - logged_at < SELDOM_SECONDS:
        _seldom[event, cause] = (logged_at, more + 1)
        return
    _seldom[event, cause] = (now, 0)
    log(event, cause=cause, more=more, detail=detail)


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback, and those of its causes, without the text of foreign errors.

    That text often repeats a value: the input that is not valid, the response that is no JSON, the
    host that refuses. The type and the lines of code tell the operator as much.
    """
    texts: list[str] = []
    seen: set[int] = set()
    link, current = "", error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        heading = f"Traceback (most recent call last):\n{frames}" if frames else ""
        texts.append(f"{heading}{_named(current)}{link}")
        if current.__cause__ is not None:
            link, current = CAUSED, current.__cause__
        else:
            link, current = MEANWHILE, None if current.__suppress_context__ else current.__context__
    return "\n\n".join(reversed(texts))


def _named(error: BaseException) -> str:
    """Return an error's type, and its text if that is Parley's or Postgres' own."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    text = ""
    if kind.__module__.startswith("lib.") and not kind.__module__.startswith("lib.tools"):
        text = str(error)
    elif kind.__module__.startswith("psycopg"):
        text = text_of_database(error)
    return f"{name}: {text}" if text else name


def text_of_database(error: BaseException) -> str:
    """Return the code and the words of an error of Postgres.

    Without the words of a value that does not fit its type (class 22), which repeat the value; and
    without psycopg's own words, which repeat the address. lib/database has removed the detail.
    """
    code: str | None = getattr(error, "sqlstate", None)
    words: str | None = getattr(getattr(error, "diag", None), "message_primary", None)
    if code is None or code.startswith("22"):
        return code or ""
    return f"{code} {words or ''}".rstrip()


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
            refusal=OWN_ADDRESS.sub("host …", refusals[0]) if refusals else None,
        )


class _LibraryWarnings(logging.Handler):
    """Turns the warnings of asyncio and aiohttp, which quote errors, into lines of the log."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Log a warning by its first words, with the traceback of its error if there is one."""
        error = record.exc_info[1] if record.exc_info else None
        log("library_warning", error=error, library=record.name, warning=_first_words(record))


def _first_words(record: logging.LogRecord) -> str:
    """Return the beginning of a warning: before any value, whose name or mark stands before it."""
    return re.split(r"[\n:<%({'\"]", str(record.msg), maxsplit=1)[0].strip()


def _pass_on(handler: logging.Handler, *libraries: str) -> None:
    for library in libraries:
        foreign = logging.getLogger(library)
        foreign.handlers, foreign.propagate = [handler], False


_pass_on(_Warnings(), "psycopg")
_pass_on(_LibraryWarnings(), "asyncio", "aiohttp")
for quiet in ("asyncio", "aiohttp"):
    logging.getLogger(quiet).setLevel(logging.WARNING)


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
