"""The deadline of an invocation, at which Vercel kills the function even in mid-answer."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.settings import settings

# Reserved at the end of an invocation, to store an answer and end its stream …
STORE_SECONDS, STORE_SHARE = 5.0, 0.2
# … and to report a failure.
LAST_WORDS_SECONDS, LAST_WORDS_SHARE = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    """The times at which an invocation ends, in seconds on the clock of `time.monotonic()`.

    Attributes:
        ends_at: Vercel kills the function.
        cut_at: a running answer is cut, which leaves time to store it.
        last_words_at: unfinished work is given up, which leaves time to report that.
    """

    ends_at: float
    cut_at: float
    last_words_at: float

    @staticmethod
    def of_invocation() -> "Deadline":
        """Return the running invocation's deadline.

        Vercel's runtime knows it; elsewhere it is MAX_DURATION_SECONDS from now.
        """
        seconds = settings().max_duration_seconds
        deadline = _deadline_of_runtime()
        if deadline is not None:
            seconds = max(0.0, (deadline - datetime.now(UTC)).total_seconds())
        ends_at = time.monotonic() + seconds
        return Deadline(
            ends_at=ends_at,
            cut_at=ends_at - min(STORE_SECONDS, STORE_SHARE * seconds),
            last_words_at=ends_at - min(LAST_WORDS_SECONDS, LAST_WORDS_SHARE * seconds),
        )


def _deadline_of_runtime() -> datetime | None:
    try:
        from vercel_runtime.deadline import get_deadline  # noqa: PLC0415 (exists on Vercel only)
    except ImportError:
        return None
    return get_deadline()
