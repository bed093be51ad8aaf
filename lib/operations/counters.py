"""What all instances have counted, added up in the database.

Each instance of each function counts for itself, and GET /api/metrics sees none of the others. So
each adds what it has counted to a table: after a response, so that nobody waits; only where that
request has used the database anyway, so that no sleeping one is woken; every STORE_SECONDS at most;
and only where METRICS_TOKEN is set. An instance that is ended without being told loses what it has
counted since.
"""

import asyncio
import json
import math
import time
from functools import cache

from lib.database.client import Database, database
from lib.database.statements import Call, Nothing, Statement
from lib.problems import Problem
from lib.runtime.counting import Cells, counters
from lib.runtime.log import log
from lib.runtime.shutdown import at_end
from lib.runtime.trace import trace
from lib.settings import settings

STORE_SECONDS = 15.0
# So long an invocation is kept for it; it then goes on with the next one.
PATIENCE_SECONDS = 1.0
# An instance that is told to end has half a second.
LAST_PATIENCE_SECONDS = 0.4


ADD_COUNTERS = Statement("operations/add_counters", Nothing)


def adding(cells: Cells) -> Call[Nothing]:
    """Return what adds cells to the table.

    Sent again, when the connection was lost after it had arrived, it adds them twice. That is rare,
    and metrics bear it.
    """
    rows = [
        {
            "metric": metric,
            "function": function,
            "label": label,
            # As text, since JSON has no infinity.
            "bound": "Infinity" if math.isinf(bound) else bound,
            "count": count,
            "total": total,
        }
        for (metric, function, label, bound), (count, total) in cells.items()
    ]
    return ADD_COUNTERS(counters=json.dumps(rows), now=None)


class Storing:
    """When this process stores what it has counted."""

    def __init__(self) -> None:
        """Begin with the first request."""
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def after_request(self) -> None:
        """Store what was counted, if it is time to; wait PATIENCE_SECONDS at most, never raise."""
        if settings().metrics_token is None or not trace().round_trips:
            return
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + STORE_SECONDS
            await self._store(PATIENCE_SECONDS)

    async def at_end(self) -> None:
        """Store what was counted, since this process is to end; only over an open connection."""
        if settings().metrics_token is not None and database().pool_metrics()["idle"]:
            await self._store(LAST_PATIENCE_SECONDS)

    async def _store(self, patience_seconds: float) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(store_counters(database()))
        await self.settle(patience_seconds)

    async def settle(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until what is just being stored is in the table; at most so long.

        Until then it is neither there nor in this process's counters.
        """
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_seconds)


async def store_counters(used: Database) -> None:
    """Add what this process has counted to the table. One round trip.

    What cannot be added is kept for the next time.
    """
    cells = counters().take()
    if not cells:
        return
    try:
        await used.run(adding(cells))
    except Problem as problem:
        counters().put_back(cells)
        log("counters_not_stored", code=problem.code)
    except Exception as error:  # noqa: BLE001 (a task of its own, after the response)
        counters().put_back(cells)
        log("counters_not_stored", error=error)


@cache
def storing() -> Storing:
    """Return what stores the counters of this process."""
    return Storing()


at_end("counters", lambda: storing().at_end())
