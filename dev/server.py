"""`python -m dev.server DESCRIPTOR`: serve the checkout on a socket that listens already.

`python -m dev` replaces this process when code changes. The socket belongs to `python -m dev`, so a
request that comes meanwhile waits instead of failing.
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

# Node's client keeps idle connections for 5 s, and so does uvicorn by default. A request that is on
# its way when this side closes then fails: 3 of 400 that were sent after about 5 s.
KEEP_ALIVE_SECONDS = 600


class Server(uvicorn.Server):
    """Announces when it serves, and ends running answers properly when it ends."""

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Store the parts of running answers, end their streams, and then end."""
        # Imported late, and any error ignored: a checkout whose lib is broken is served as well.
        with suppress(Exception):
            from lib.runtime.shutdown import end_work  # noqa: PLC0415

            await end_work()
        await super().shutdown(sockets)

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the process that waits."""
        await super().startup(sockets)
        if self.started:
            announce("serving")


class Readable(logging.Formatter):
    """Writes the lines of the functions' log, with tracebacks below, line by line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and the lines of its traceback."""
        line: dict[str, object] = json.loads(record.getMessage())
        traceback = line.pop("traceback", None)
        return json.dumps(line) + (f"\n{traceback}" if traceback else "")


def logging_config() -> dict[str, Any]:
    """Return uvicorn's logging, without the lines about its start and end."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["uvicorn"]["level"] = "WARNING"
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config["formatters"]["access"]["fmt"] = "%(request_line)s %(status_code)s"
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    # The log of the functions; on Vercel the runtime passes it on.
    config["formatters"]["parley"] = {"()": Readable}
    config["handlers"]["parley"] = config["handlers"]["default"] | {"formatter": "parley"}
    config["loggers"]["parley"] = {"handlers": ["parley"], "level": "INFO"}
    return config


def is_news(record: logging.LogRecord) -> bool:
    """Leave out the tracebacks of requests that were cut, because another line reports them."""
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
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(is_news)
    Server(config).run([listener])


if __name__ == "__main__":
    main()
