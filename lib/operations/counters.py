"""The counts of all instances, added up in the database.

Each instance of each function counts for itself, and GET /api/metrics sees its own alone. So every
instance adds its counts to a table: after a response, so that no request waits; only after a
request that used the database, so that it wakes no sleeping database; at most every STORE_SECONDS;
and only if METRICS_TOKEN is set. An instance that is killed loses its counts since the last time.
"""

import asyncio
import json
import math
import random
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
# Limit for one invocation; storing then continues in the next one.
PATIENCE_SECONDS = 1.0
# An instance that is told to end has half a second in all.
LAST_PATIENCE_SECONDS = 0.4
# Of the table: each call adds to the rows of one.
SHARDS = 16
ADD_COUNTERS = Statement("operations/add_counters", Nothing)


def adding(cells: Cells) -> Call[Nothing]:
    """Return the call that adds cells to the table.

    A call that is sent again because its connection broke may add them twice. That is rare, and
    metrics may be off by that much.
    """
    rows = [
        {
            "metric": metric,
            "function": function,
            "label": label,
            # As text, because JSON has no infinity.
            "bound": "Infinity" if math.isinf(bound) else bound,
            "count": count,
            "total": total,
        }
        for (metric, function, label, bound), (count, total) in cells.items()
    ]
    # Another shard each time: those that add at once seldom wait for each other.
    shard = random.randrange(SHARDS)  # noqa: S311 (not a secret)
    return ADD_COUNTERS(shard=shard, counters=json.dumps(rows), now=None)


class Storing:
    """Stores the counts of this process from time to time."""

    def __init__(self) -> None:
        """Store for the first time after the first request."""
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def after_request(self) -> None:
        """Store the counts every STORE_SECONDS; wait PATIENCE_SECONDS at most, never raise."""
        if settings().metrics_token is None or not trace().round_trips:
            return
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + STORE_SECONDS
            await self._store(PATIENCE_SECONDS)

    async def at_end(self) -> None:
        """Store the counts before this process ends, but open no connection for them."""
        if settings().metrics_token is not None and database().pool_metrics()["size"]:
            await self._store(LAST_PATIENCE_SECONDS)

    async def _store(self, patience_seconds: float) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(store_counters(database()))
        await self.settle(patience_seconds)

    async def settle(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the counts that are being stored are in the table, but not longer than that.

        Until then they are neither in the table nor in this process's counters.
        """
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_seconds)


async def store_counters(used: Database) -> None:
    """Add the counts of this process to the table, or keep them for the next time.

    One round trip.
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
    """Return this process's `Storing`."""
    return Storing()


at_end("counters", lambda: storing().at_end())
