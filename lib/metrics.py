"""GET /api/metrics: who may read it, and what it is made of."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from lib.database import Database
from lib.metrics_database import Reading, read_database
from lib.operators import check_operator
from lib.problems import NotFound
from lib.queries import one_of, parameter, query_string
from lib.settings import settings

NOT_A_READER = "This needs the header Authorization: Bearer with the deployment's METRICS_TOKEN."
# Prometheus gives up after 10 seconds, and would then not learn what is wrong.
PATIENCE_SECONDS = 5.0


@query_string
class MetricsQuery:
    """The query of GET /api/metrics."""

    format: Literal["prometheus", "json"] = parameter(
        one_of("prometheus", "json"), default="prometheus"
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures, at one moment.

    Attributes:
        pool: of the process that answers, and of no other.
        reading: of the database; None: it cannot be reached.
    """

    pool: dict[str, int]
    reading: Reading | None


def check_metrics_token(request: Request) -> None:
    """Let nobody in but who sends METRICS_TOKEN as a bearer token.

    Raises:
        NotFound: none is set.
        Unauthenticated: it is another one, or none was sent.
    """
    expected = settings().metrics_token
    if expected is None:
        raise NotFound
    check_operator(request, expected, "metrics", NOT_A_READER)


async def read_metrics(database: Database) -> Metrics:
    """Read all figures: one round trip, and PATIENCE_SECONDS at most.

    Raises:
        DatabaseNotMigrated: migrations are missing.
    """
    # Before it takes a connection itself.
    pool = database.figures()
    # A task of its own: it knows what becomes of what it adds, though nobody waits any more.
    reading = asyncio.create_task(read_database(database))
    reading.add_done_callback(_note_outcome)
    await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
    return Metrics(pool, await reading if reading.done() else None)


def _note_outcome(reading: asyncio.Task[Reading | None]) -> None:
    """Look how it ended, which nobody may do who has given up; asyncio would complain."""
    if not reading.cancelled():
        reading.exception()
