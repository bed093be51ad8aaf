"""A request on its way to an answer: refused, cured and asked again, with the cures of before."""

import time
from dataclasses import dataclass, field
from functools import cache

from lib.model._dialects import Dialect
from lib.model._refusals.kinds import is_of_request
from lib.model._refusals.refusal import Refusal
from lib.model._refusals.requests import chars_of, shortened, with_before, with_plain_schemas
from lib.model._refusals.table import AGAIN, SHORTER, Body, Cure, cures_of
from lib.model.request import ModelRequest
from lib.problems import ConversationTooLong
from lib.runtime.log import log

# A request is sent once more often than this.
MAX_CURES = 8
# What stands before the question is halved so often where a request is too long; then the question
# is sent alone.
MAX_HALVINGS = 3
# For so long a length that was refused is not tried again. Texts of other languages have other
# lengths in tokens, so what one conversation has met is not kept for all others for good.
REFUSED_SECONDS = 600.0


@dataclass(slots=True)
class Experience:
    """The experience of this process with one model.

    Attributes:
        cures: the cures that have helped.
    """

    cures: list[Cure] = field(default_factory=list[Cure])
    _refused_chars: int | None = None
    _refused_at: float = 0.0

    @property
    def refused_chars(self) -> int | None:
        """The length of the shortest request that was too long lately; None: none was."""
        is_new = time.monotonic() < self._refused_at + REFUSED_SECONDS
        return self._refused_chars if is_new else None

    def note_refused(self, chars: int) -> None:
        """Remember that a request of this length was too long."""
        known = self.refused_chars
        if known is None or chars < known:
            self._refused_chars, self._refused_at = chars, time.monotonic()


@cache
def experience_with(_model: str, _base_url: str, _dialect: Dialect) -> Experience:
    """Return the experience of this process with a model: an object to change."""
    return Experience()


class CuredRequest:
    """A request with the changes that its provider needs, as far as they are known."""

    def __init__(self, request: ModelRequest, dialect: Dialect) -> None:
        """Take a request, and begin with the cures that have helped before.

        Raises:
            ConversationTooLong: when the request may not be shortened, and the provider has refused
                one as long before.
        """
        self._asked = with_plain_schemas(request)
        self._dialect = dialect
        self._experience = experience_with(request.model.model, request.model.base_url, dialect)
        self._cures = list(self._experience.cures)
        self._tried = set(self._cures)
        self._tries = 0
        self._last: tuple[Refusal, Cure] | None = None
        self._max_chars: int | None = None
        self._halvings = 0
        self._refused_chars: int | None = None
        known = self._experience.refused_chars
        if known is not None and chars_of(request := self.request) >= known:
            if not self._asked.may_shorten:
                raise ConversationTooLong
            self._max_chars = _half(request, known)

    @property
    def request(self) -> ModelRequest:
        """The request as it is to be sent."""
        request = self._asked
        for cure in self._cures:
            request = request if cure.is_last else cure.request(request)
        if self._max_chars is not None:
            request = shortened(request, self._max_chars)
        request = with_before(request)
        for cure in self._cures:
            request = cure.request(request) if cure.is_last else request
        return request

    def body(self, request: ModelRequest) -> Body:
        """Return the body of the request."""
        body = self._dialect.body(request)
        for cure in self._cures:
            body = cure.body(body)
        return body

    def cure(self, refusal: Refusal) -> bool:
        """Change the request such that it may be accepted; return whether that was possible."""
        self._tries += 1
        if self._tries > MAX_CURES or not is_of_request(refusal):
            return False
        self._undo_useless_cure(refusal)
        request = self.request
        body = self.body(request)
        for cure in cures_of(refusal, request, body):
            if cure == SHORTER:
                return self._shorten(request)
            changes = cure.request(request) != request or cure.body(body) != body
            if cure not in self._tried and (changes or cure == AGAIN):
                self._cures.append(cure)
                self._tried.add(cure)
                self._last = refusal, cure
                return True
        return False

    def note_answer(self) -> None:
        """Remember the cures: the provider answers the request."""
        for cure in self._cures:
            if cure not in self._experience.cures and cure.is_lasting:
                log("model_request_cured", model=self._asked.model.model, cure=cure.name)
                self._experience.cures.append(cure)
        if self._refused_chars is not None:
            self._experience.note_refused(self._refused_chars)

    def _undo_useless_cure(self, refusal: Refusal) -> None:
        if self._last is not None and refusal.resembles(self._last[0]):
            self._cures.remove(self._last[1])
        self._last = None

    def _shorten(self, request: ModelRequest) -> bool:
        self._refused_chars = chars_of(request)
        if not self._asked.may_shorten:
            self._experience.note_refused(self._refused_chars)
            return False
        is_halved = self._halvings < MAX_HALVINGS
        self._max_chars = _half(request, self._refused_chars) if is_halved else 0
        self._halvings += 1
        return self.request != request


def _half(request: ModelRequest, chars: int) -> int:
    """Return a length that leaves half of so many characters to what stands before the question.

    The instructions and the question stay, and may be most of the request.
    """
    least = chars_of(shortened(request, 0))
    return least + max(0, chars - least) // 2
