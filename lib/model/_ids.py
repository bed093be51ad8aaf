"""The ids of tool calls, under which a request tells each call and its result."""

import hashlib
from collections.abc import Iterable

from lib.model.request import PromptCall

# Mistral takes no other length. Every provider takes letters and digits.
ID_CHARS = 9


class CallIds:
    """The ids of the calls in one answer.

    A provider that repeats an id within an answer cannot tell which result belongs to which call:
    so its id goes back once, and another call gets an id that every provider takes.
    """

    def __init__(self) -> None:
        """Begin with no id taken."""
        self._taken: set[str] = set()

    def begin_answer(self) -> None:
        """Free all ids: the next call is of another answer."""
        self._taken.clear()

    def of(self, calls: Iterable[PromptCall]) -> list[str]:
        """Return the id of each call: the provider's own, or one that every provider takes."""
        return [self._of(call) for call in calls]

    def _of(self, call: PromptCall) -> str:
        call_id = (call.state or {}).get("id")
        if not call_id or call_id in self._taken:
            return portable_id(call.id)
        self._taken.add(call_id)
        return call_id


def portable_id(call_id: str) -> str:
    """Return an id that every provider takes; the same for the same call."""
    return hashlib.sha256(call_id.encode()).hexdigest()[:ID_CHARS]
