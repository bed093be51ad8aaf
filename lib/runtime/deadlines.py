"""When this invocation must be over: Vercel ends it hard then, in whatever it is doing."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.settings import settings

# Kept free at the end, of whatever time there is: to store an answer and end its stream …
STORE_SECONDS, STORE_SHARE = 5.0, 0.2
# … and to say that something could not be done.
LAST_WORDS_SECONDS, LAST_WORDS_SHARE = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an invocation ends, on the clock of `time.monotonic()`, in seconds.

    Attributes:
        ends_at: the function is ended.
        cut_at: an answer is cut, so that there is time to store it.
        last_words_at: what is not done by then is given up, so that there is time to say so.
    """

    ends_at: float
    cut_at: float
    last_words_at: float

    @staticmethod
    def of_invocation() -> "Deadline":
        """Return the running invocation's deadline.

        Told by Vercel's runtime; where it does not tell, MAX_DURATION_SECONDS from now.
        """
        told = _told_by_runtime()
        seconds = settings().max_duration_seconds
        if told is not None:
            seconds = max(0.0, (told - datetime.now(UTC)).total_seconds())
        ends_at = time.monotonic() + seconds
        return Deadline(
            ends_at=ends_at,
            cut_at=ends_at - min(STORE_SECONDS, STORE_SHARE * seconds),
            last_words_at=ends_at - min(LAST_WORDS_SECONDS, LAST_WORDS_SHARE * seconds),
        )


def _told_by_runtime() -> datetime | None:
    try:
        from vercel_runtime.deadline import get_deadline  # noqa: PLC0415 (only there on Vercel)
    except ImportError:
        return None
    return get_deadline()
