"""Quotas: how many answers somebody may ask for, counted by begin_turn in the database."""

from dataclasses import dataclass

from lib.identity.callers import Caller
from lib.identity.clients import hashed
from lib.settings import settings

MINUTE_SECONDS, DAY_SECONDS = 60, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What is left of a quota, as count_use tells it; its limits are settings.

    Attributes:
        minute_remaining: answers left in the running minute.
        minute_reset_seconds: until that is over.
        day_remaining: answers left in the running day.
        day_reset_seconds: until that is over.
    """

    minute_remaining: int
    minute_reset_seconds: float
    day_remaining: int
    day_reset_seconds: float

    @property
    def retry_after_seconds(self) -> float:
        """When there will be something left again, in seconds; 0: there is."""
        return max([0.0, *(reset for _, _, left, reset in self._limits() if not left)])

    def headers(self) -> dict[str, str]:
        """Return the header fields `RateLimit` and `RateLimit-Policy`, and their older forms.

        Source: draft-ietf-httpapi-ratelimit-headers-10; the three older fields, which most clients
        read, are those of its version 6, for the limit that has the least left.
        """
        limits = self._limits()
        if not limits:
            return {}
        windows = {"minute": MINUTE_SECONDS, "day": DAY_SECONDS}
        _, limit, left, reset = min(limits, key=lambda each: (each[2], -each[3]))
        return {
            "ratelimit-policy": ", ".join(
                f'"{name}";q={limit};w={windows[name]}' for name, limit, _, _ in limits
            ),
            "ratelimit": ", ".join(
                f'"{name}";r={left};t={_seconds(reset)}' for name, _, left, reset in limits
            ),
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": str(left),
            "ratelimit-reset": str(_seconds(reset)),
        }

    def _limits(self) -> list[tuple[str, int, int, float]]:
        """Return the limits that are set: name, answers, how many are left, seconds to its end."""
        chosen = settings()
        limits = [
            (
                "minute",
                chosen.messages_per_minute,
                self.minute_remaining,
                self.minute_reset_seconds,
            ),
            ("day", chosen.messages_per_day, self.day_remaining, self.day_reset_seconds),
        ]
        return [each for each in limits if each[1]]


def _seconds(duration: float) -> int:
    """Round up: a moment too early would be refused."""
    return -int(-duration // 1)


def subject_of(caller: Caller, client: str) -> str:
    """Return whom an answer is counted for: a user, or of the anonymous each client.

    Args:
        caller: who asks.
        client: see `client_of`.
    """
    return f"user {caller.user_id}" if caller.user_id is not None else hashed("client", client)
