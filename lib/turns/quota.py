"""Quotas: the answers that a caller may ask for in a minute and in a day, as begin_turn counts."""

from dataclasses import dataclass
from typing import NamedTuple

from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.settings import settings

MINUTE_SECONDS, DAY_SECONDS = 60, 86_400


class Limit(NamedTuple):
    """One limit of a quota.

    Attributes:
        name: `minute` or `day`.
        window_seconds: length of its window.
        answers: answers that a caller may ask for in a window.
        remaining: answers left in the running window.
        reset_seconds: time until the running window ends.
    """

    name: str
    window_seconds: int
    answers: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The rest of a caller's quota, as the row of begin_turn tells it; settings hold its limits.

    Attributes:
        minute_remaining: answers left in the running minute.
        minute_reset_seconds: time until that minute ends.
        day_remaining: answers left in the running day.
        day_reset_seconds: time until that day ends.
    """

    minute_remaining: int
    minute_reset_seconds: float
    day_remaining: int
    day_reset_seconds: float

    @property
    def retry_after_seconds(self) -> float:
        """Time until the caller has an answer left, in seconds; 0: it has one now."""
        return max([0.0, *(limit.reset_seconds for limit in self._limits() if not limit.remaining)])

    def headers(self) -> dict[str, str]:
        """Return the header fields `RateLimit` and `RateLimit-Policy`, and their older forms.

        Source: draft-ietf-httpapi-ratelimit-headers-10. The three older fields, which most clients
        read, come from its version 6 and describe the limit with the fewest answers left.
        """
        limits = self._limits()
        if not limits:
            return {}
        tightest = min(limits, key=lambda limit: (limit.remaining, -limit.reset_seconds))
        return {
            "ratelimit-policy": ", ".join(
                f'"{limit.name}";q={limit.answers};w={limit.window_seconds}' for limit in limits
            ),
            "ratelimit": ", ".join(
                f'"{limit.name}";r={limit.remaining};t={_round_up(limit.reset_seconds)}'
                for limit in limits
            ),
            "ratelimit-limit": str(tightest.answers),
            "ratelimit-remaining": str(tightest.remaining),
            "ratelimit-reset": str(_round_up(tightest.reset_seconds)),
        }

    def _limits(self) -> list[Limit]:
        """Return the limits that the settings switch on."""
        minute = Limit(
            "minute",
            MINUTE_SECONDS,
            settings().messages_per_minute,
            self.minute_remaining,
            self.minute_reset_seconds,
        )
        day = Limit(
            "day",
            DAY_SECONDS,
            settings().messages_per_day,
            self.day_remaining,
            self.day_reset_seconds,
        )
        return [limit for limit in (minute, day) if limit.answers]


def _round_up(seconds: float) -> int:
    # A client that came a fraction of a second early would be refused.
    return -int(-seconds // 1)


def subject_of(caller: Caller, client: str) -> str:
    """Return the subject that an answer counts for: the user, or the client of an anonymous caller.

    Args:
        caller: the sender of the message.
        client: see `client_of`.
    """
    return f"user {caller.user_id}" if caller.user_id is not None else hashed("client", client)
