"""How long a provider wants to be left alone: in headers, and in its words."""

import re
import time
from email.utils import parsedate_to_datetime
from math import isfinite

from lib.model._refusals.refusal import Refusal

RETRY_AFTER_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0
# "45s", "9m38.016s", "120ms", "1h2m".
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)(m?s))?")
WAIT = re.compile(r"(?:try again|retry) (?:in|after) ([\dhms.]+)")


def retry_after(refusal: Refusal) -> float:
    """Return after how many seconds the provider wants to be asked again, within reason."""
    candidates = (
        _scaled(refusal.headers.get("retry-after-ms", ""), 1000.0),
        _scaled(refusal.headers.get("retry-after", ""), 1.0),
        _until(refusal.headers.get("retry-after", "")),
        *(_duration(text) for text in WAIT.findall(refusal.words)),
        _duration(refusal.headers.get("x-ratelimit-reset-requests", "")),
    )
    seconds = next((each for each in candidates if each is not None), RETRY_AFTER_SECONDS)
    return min(max(seconds, 1.0), MAX_RETRY_AFTER_SECONDS)


def _scaled(text: str, unit: float) -> float | None:
    try:
        seconds = float(text) / unit
    except ValueError:
        return None
    return seconds if isfinite(seconds) else None


def _until(text: str) -> float | None:
    """Return the seconds until a date of HTTP."""
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    """Return a duration such as `9m38.016s` in seconds."""
    found = DURATION.fullmatch(text.strip("."))
    if not found or not found[0]:
        return None
    hours, minutes, number, unit = found.groups()
    seconds = _scaled(number or "0", 1000.0 if unit == "ms" else 1.0) or 0.0
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds
