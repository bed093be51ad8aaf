"""`python -m dev.server DESCRIPTOR`: serve the checkout on a socket that listens already.

A process of its own, which `python -m dev` replaces when code changes. Since the socket is not
its own, a request that comes while it is being replaced waits instead of failing.
"""

import asyncio
import copy
import json
import logging
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, override

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from dev.children import announce
from dev.routing import application

# An answer that takes longer than this is cut when code changes or Ctrl-C is pressed.
GRACE_SECONDS = 2


class Server(uvicorn.Server):
    """Announces that it serves, and at its end has answers end as they should."""

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Store what there is of running answers and end their streams; then end."""
        # Late, and whatever it raises: a checkout whose lib cannot be imported is served as well.
        with suppress(Exception):
            from lib.runtime.shutdown import end_work  # noqa: PLC0415

            await end_work()
        await super().shutdown(sockets)

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so to the process that waits for it."""
        await super().startup(sockets)
        if self.started:
            announce("serving")


class Readable(logging.Formatter):
    """Writes what the functions log as they do, but a traceback below it, line by line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and the lines of its traceback."""
        line: dict[str, object] = json.loads(record.getMessage())
        told = line.pop("traceback", None)
        return json.dumps(line) + (f"\n{told}" if told else "")


def logging_config() -> dict[str, Any]:
    """Return uvicorn's logging, without what it says about its start and end."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["uvicorn"]["level"] = "WARNING"
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config["formatters"]["access"]["fmt"] = "%(request_line)s %(status_code)s"
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    # What the functions log; on Vercel its runtime passes that on.
    config["formatters"]["parley"] = {"()": Readable}
    config["handlers"]["parley"] = config["handlers"]["default"] | {"formatter": "parley"}
    config["loggers"]["parley"] = {"handlers": ["parley"], "level": "INFO"}
    return config


def is_news(record: logging.LogRecord) -> bool:
    """Leave out the tracebacks of requests that were cut: another line says that they were."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def main() -> None:
    """Serve until SIGTERM."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(
        application(Path.cwd()),
        lifespan="on",
        log_config=logging_config(),
        log_level=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(is_news)
    Server(config).run([listener])


if __name__ == "__main__":
    main()
