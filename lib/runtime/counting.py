"""The metrics that a process counts while it works: how often, and for how long.

Counting costs a microsecond and no round trip. The database adds up the counters of all processes
(lib/operations/counters.py), and GET /api/metrics shows the sums.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lib.runtime.trace import trace

# Upper bounds of the histograms' buckets, in seconds.
QUICK_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, which is counted for each function of `api/`.

    Attributes:
        name: as Prometheus sees it, without the prefix `parley_` and the suffix `_total`.
        text: its help text.
        labels: the names of the labels that it has beside `function`. Their values are counted as
            one text, separated by spaces.
        bounds: of a histogram, the upper bounds of its buckets; none: it is a plain counter.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


REQUESTS = Metric(
    "request_seconds",
    "Requests, from their arrival to their end; a stream, to the end of the stream.",
    bounds=SLOW_BOUNDS,
)
RESPONSES = Metric(
    "responses", "Responses by HTTP status; none: the client left first.", ("status",)
)
PROBLEMS = Metric(
    "problems",
    "Problems by code, including problems within a stream.",
    ("code",),
)
STATEMENTS = Metric(
    "statement_seconds",
    "Statements of sql/queries/: the time of their round trip, which statements sent together "
    "share; without the wait for a connection.",
    ("statement",),
    QUICK_BOUNDS,
)
STATEMENT_ERRORS = Metric(
    "statement_errors",
    "Statements whose round trip ended in an error, including errors that Parley expects.",
    ("statement",),
)
WAITS = Metric(
    "connection_wait_seconds",
    "Waits for a connection from the pool, including the time to connect.",
    bounds=QUICK_BOUNDS,
)
FIRST_TOKENS = Metric(
    "first_token_seconds",
    "Answers: from the request's arrival to the model's first token.",
    bounds=SLOW_BOUNDS,
)
MODEL_WAITS = Metric(
    "model_wait_seconds", "Answers: from asking the model to its first token.", bounds=SLOW_BOUNDS
)
TURNS = Metric(
    "turn_seconds",
    "Turns whose answer was stored: from the request's arrival until it was stored.",
    bounds=SLOW_BOUNDS,
)
FINISHES = Metric(
    "turns",
    "Turns whose answer was stored, by finish_reason; other: any other reason.",
    ("finish_reason",),
)
FAILURES = Metric(
    "turn_failures",
    "Turns that ended in a problem, even if part of the answer was stored.",
    ("code",),
)
UNREADABLE_EVENTS = Metric(
    "unreadable_events",
    "Events of a model's stream that could not be read, and were skipped.",
)
MODEL_REQUESTS = Metric(
    "model_requests",
    "Requests to the model, by purpose and outcome. cut: ended by Parley; refused: by the "
    "provider; failed: no response, or one that broke off.",
    ("purpose", "outcome"),
)
MODEL_TOKENS = Metric(
    "model_tokens",
    "Tokens of all requests to the model, also of those whose answer was not stored; by the "
    "provider's count, or estimated where there is none.",
    ("purpose", "kind", "source"),
)
CACHED_TOKENS = Metric(
    "model_cached_tokens",
    "Tokens of prompts that the provider read from its cache, as it says; they are among "
    "parley_model_tokens_total of the kind prompt.",
    ("purpose",),
)
METRICS = (
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
    UNREADABLE_EVENTS,
    MODEL_REQUESTS,
    MODEL_TOKENS,
    CACHED_TOKENS,
)
# A metric's name, the function, the label's value, and the bucket's upper bound (infinite for a
# plain counter).
type Key = tuple[str, str, str, float]
# The count and the sum of the values, by key.
type Cells = dict[Key, tuple[int, float]]


class Counters:
    """The counts of this process that are not yet in the database."""

    def __init__(self) -> None:
        """Start with no counts."""
        self._cells: Cells = {}

    def add(self, key: Key, count: int, total: float) -> None:
        """Add to a cell."""
        old_count, old_total = self._cells.get(key, (0, 0.0))
        self._cells[key] = (old_count + count, old_total + total)

    def take(self) -> Cells:
        """Return all cells, and start again with none."""
        taken, self._cells = self._cells, {}
        return taken

    def put_back(self, cells: Cells) -> None:
        """Add cells back that could not be stored."""
        for key, (count, total) in cells.items():
            self.add(key, count, total)


@cache
def counters() -> Counters:
    """Return the counters of this process."""
    return Counters()


def count(metric: Metric, label: str = "", amount: int = 1) -> None:
    """Add to a plain counter, for the running request."""
    if amount:
        counters().add((metric.name, trace().function, label, math.inf), amount, 0.0)


def observe(metric: Metric, seconds: float, label: str = "") -> None:
    """Add a duration to a histogram, for the running request."""
    place = bisect_left(metric.bounds, seconds)
    bound = metric.bounds[place] if place < len(metric.bounds) else math.inf
    counters().add((metric.name, trace().function, label, bound), 1, seconds)


def note_request() -> None:
    """Count the running request, which has ended."""
    request = trace()
    observe(REQUESTS, request.seconds)
    count(RESPONSES, str(request.status or "none"))
    if request.code is not None:
        count(PROBLEMS, request.code)


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
    """Count the model's first token, which came so many seconds after the model was asked."""
    request = trace()
    request.model_seconds = model_seconds
    observe(MODEL_WAITS, model_seconds)
    observe(FIRST_TOKENS, request.seconds)


def note_unreadable_event() -> None:
    """Count an event of the model's stream that could not be read."""
    count(UNREADABLE_EVENTS)


def note_model_request(purpose: str, outcome: str) -> None:
    """Count a request to the model, which has ended."""
    count(MODEL_REQUESTS, f"{purpose} {outcome}")


def note_model_tokens(purpose: str, kind: str, tokens: int, *, is_estimate: bool) -> None:
    """Count tokens of a request to the model: of kind `prompt` or `completion`."""
    count(MODEL_TOKENS, f"{purpose} {kind} {'estimated' if is_estimate else 'counted'}", tokens)


def note_cached_tokens(purpose: str, tokens: int) -> None:
    """Count tokens of a prompt that the provider has read from its cache."""
    count(CACHED_TOKENS, purpose, tokens)


def note_answer(finish_reason: str | None) -> None:
    """Count a turn whose answer this request has stored."""
    observe(TURNS, trace().seconds)
    note_finish(finish_reason)


def note_finish(finish_reason: str | None) -> None:
    """Count a stored answer, even if another process made it."""
    count(FINISHES, finish_reason or "other")


def note_failed_turn(code: str) -> None:
    """Count a turn that ended in a problem, even if only its stream says so."""
    trace().code = code
    count(FAILURES, code)
