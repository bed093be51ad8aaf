"""What a process counts while it works: how often, and how long.

It costs a microsecond and no round trip. What each process has counted is added up in the database
(lib/operations/counters.py), and shown by GET /api/metrics.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lib.runtime.trace import trace

# Upper bounds of the histograms' buckets, in seconds.
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LASTING = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is counted, by function.

    Attributes:
        name: as Prometheus sees it, without `parley_` before and `_total` behind it.
        text: what it tells.
        label: by what it is counted, beside the function; "": nothing else.
        bounds: of a histogram, the upper bounds of its buckets; none: it is a plain counter.
    """

    name: str
    text: str
    label: str = ""
    bounds: tuple[float, ...] = ()


REQUESTS = Figure(
    "request_seconds",
    "Requests, from their arrival until all is done: a stream, until its end.",
    bounds=LASTING,
)
RESPONSES = Figure("responses", "Responses by HTTP status; none: its client had left.", "status")
PROBLEMS = Figure(
    "problems",
    "Problems by their code, those told within a stream too.",
    "code",
)
STATEMENTS = Figure(
    "statement_seconds",
    "Statements of sql/queries/: the round trip that each was sent in, which those sent together "
    "share; without the wait for a connection.",
    "statement",
    QUICK,
)
STATEMENT_ERRORS = Figure(
    "statement_errors",
    "Statements whose round trip ended in an error, such as one that the product expects.",
    "statement",
)
WAITS = Figure(
    "connection_wait_seconds",
    "Waits for a connection out of the pool, connecting included.",
    bounds=QUICK,
)
FIRST_TOKENS = Figure(
    "first_token_seconds",
    "Answers: from the request's arrival to the model's first token.",
    bounds=LASTING,
)
MODEL_WAITS = Figure(
    "model_wait_seconds", "Answers: from asking the model to its first token.", bounds=LASTING
)
TURNS = Figure(
    "turn_seconds",
    "Turns whose answer was stored: from the request's arrival until then.",
    bounds=LASTING,
)
FINISHES = Figure(
    "turns", "Turns whose answer was stored, by its finish_reason; null: other.", "finish_reason"
)
FAILURES = Figure(
    "turn_failures",
    "Turns that ended in a problem, whether or not some of the answer was stored.",
    "code",
)
TOKENS = Figure("tokens", "Tokens of stored answers, as the provider counts them.", "kind")
FIGURES = (
    REQUESTS,
    RESPONSES,
    PROBLEMS,
    STATEMENTS,
    STATEMENT_ERRORS,
    WAITS,
    FIRST_TOKENS,
    MODEL_WAITS,
    TURNS,
    FINISHES,
    FAILURES,
    TOKENS,
)
# A figure's name, the function, what else it is counted by, and the upper bound of the bucket
# (infinite for a plain counter): how often, and what the values add up to.
type Key = tuple[str, str, str, float]
type Cells = dict[Key, tuple[int, float]]


class Counters:
    """What this process has counted and not yet handed on."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._cells: Cells = {}

    def add(self, key: Key, count: int, total: float) -> None:
        """Add to a cell."""
        before = self._cells.get(key, (0, 0.0))
        self._cells[key] = (before[0] + count, before[1] + total)

    def take(self) -> Cells:
        """Hand on what was counted, and begin anew."""
        taken, self._cells = self._cells, {}
        return taken

    def put_back(self, cells: Cells) -> None:
        """Take back what could not be handed on."""
        for key, (count, total) in cells.items():
            self.add(key, count, total)


@cache
def counters() -> Counters:
    """Return the counters of this process."""
    return Counters()


def count(figure: Figure, label: str = "", amount: int = 1) -> None:
    """Count something of the running request."""
    if amount:
        counters().add((figure.name, trace().function, label, math.inf), amount, 0.0)


def observe(figure: Figure, seconds: float, label: str = "") -> None:
    """Count something of the running request that took so long."""
    place = bisect_left(figure.bounds, seconds)
    bound = figure.bounds[place] if place < len(figure.bounds) else math.inf
    counters().add((figure.name, trace().function, label, bound), 1, seconds)


def note_request() -> None:
    """Count the request that is over."""
    now = trace()
    observe(REQUESTS, now.seconds)
    count(RESPONSES, str(now.status or "none"))
    if now.code is not None:
        count(PROBLEMS, now.code)


def note_wait(seconds: float) -> None:
    """Count a wait for a connection."""
    trace().wait_seconds += seconds
    observe(WAITS, seconds)


def note_round_trip(statements: Iterable[str], seconds: float, *, has_failed: bool) -> None:
    """Count the statements that were sent together, by name."""
    trace().round_trips += 1
    for name in statements:
        observe(STATEMENTS, seconds, name)
        if has_failed:
            count(STATEMENT_ERRORS, name)


def note_first_token(model_seconds: float) -> None:
    """Count that the model has begun to answer, so many seconds after it was asked."""
    now = trace()
    now.model_seconds = model_seconds
    observe(MODEL_WAITS, model_seconds)
    observe(FIRST_TOKENS, now.seconds)


def note_answer(
    finish_reason: str | None, prompt_tokens: int | None, completion_tokens: int | None
) -> None:
    """Count a turn whose answer is stored."""
    observe(TURNS, trace().seconds)
    note_finish(finish_reason)
    count(TOKENS, "prompt", prompt_tokens or 0)
    count(TOKENS, "completion", completion_tokens or 0)


def note_finish(finish_reason: str | None) -> None:
    """Count an answer that is stored, whoever has made it."""
    count(FINISHES, finish_reason or "other")


def note_failed_turn(code: str) -> None:
    """Count a turn that ended in a problem, which may be told in the stream alone."""
    trace().code = code
    count(FAILURES, code)
