"""A provider's refusal, read from an error of any shape.

A provider names the cause in a code, a parameter or in words, and each in a body of its own. All
that it says becomes one text, and the patterns of this package look into that.
"""

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import cast

import openai

from lib.model._refusals.names import known_name, safe_id
from lib.model.reply import ProviderError
from lib.models import Model

# The provider repeats the request in these, and with it words of the user.
ECHOES = {"input", "ctx", "failed_generation", "url", "request_id"}
MAX_TEXT_CHARS = 4000
MAX_TEXTS = 100
MAX_BODY_DEPTH = 8
NUMBER_OR_ID = re.compile(r"[\w-]*\d[\w-]*")
CODE = re.compile(r"[a-z_][a-z0-9_.\[\]]{0,63}")


class Refusal(Exception):
    """A provider's refusal of a request.

    Its own text stands in the log: the status, and the names of `log_fields`. It never has the
    provider's words, which may repeat a key or the user's message.

    Attributes:
        log_fields: `code`, `param` and the provider's `provider_request_id`, each '' if there is
            none; such as the log may have them (`_refusals/names.py`).
        status: of HTTP; of an error in a stream, the status that it names; None: it names none.
        code: the provider's code; '' if there is none.
        param: the field of the request that is refused, as `messages[0].role`; '' if not named.
        words: all that the provider says, codes included, in small letters: one text a line.
        headers: of the response.
    """

    def __init__(
        self, status: int | None, body: object, headers: Mapping[str, str], sent: str = ""
    ) -> None:
        """Read the error.

        Args:
            status: see the class.
            body: of the response, or the error in its stream.
            headers: see the class.
            sent: all that the provider got: the request and the key.
        """
        all_facts = ((name, text.lower()) for name, text in _facts(body, "", MAX_BODY_DEPTH))
        facts = list(islice(all_facts, MAX_TEXTS))
        self.status = status or _status_in(facts)
        self.code = _first(facts, "code") or _first(facts, "status") or _first(facts, "type")
        self.param = _first(facts, "param") or _first(facts, "loc")
        self.words = "\n".join(text for _, text in facts)
        self.headers = headers
        request_id = headers.get("x-request-id") or headers.get("request-id") or ""
        self.log_fields = {
            "code": known_name(self.code),
            "param": known_name(self.param),
            "provider_request_id": safe_id(request_id, sent),
        }
        named = (str(self.status or ""), *self.log_fields.values())
        super().__init__(" ".join(each for each in named if each))

    @property
    def is_of_server(self) -> bool:
        """The status says that the provider has failed, not that the request is wrong."""
        is_failure = (self.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        return is_failure and self.status != HTTPStatus.NOT_IMPLEMENTED

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Return whether the provider's words match a pattern."""
        return pattern.search(self.words) is not None

    def resembles(self, other: "Refusal") -> bool:
        """Return whether two refusals differ in numbers and ids at most."""
        mine, theirs = (NUMBER_OR_ID.sub("", each.words) for each in (self, other))
        return (self.status, mine) == (other.status, theirs)


def refusal_in(
    error: Exception, body: Mapping[str, object], model: Model | None = None
) -> Refusal | None:
    """Return the refusal that an error reports; None: the request failed on its way.

    Args:
        error: the error.
        body: the request that was refused.
        model: the model that was asked; None: the refusal is not logged.
    """
    sent = json.dumps([body, *((model.api_key, model.base_url) if model else ())])
    match error:
        case openai.APIStatusError():
            answer = cast("object", error.body)
            return Refusal(error.status_code, answer, error.response.headers, sent)
        case ProviderError():
            return Refusal(None, error.error, {}, sent)
        case _:
            return None


def _facts(value: object, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the texts and numbers in an error's body with their names, outer ones first."""
    if depth == 0 or name in ECHOES:
        return
    match value:
        case str():
            yield from _facts_in_text(value, name, depth)
        case bool() | None:
            pass
        case int() | float():
            yield name, str(value)
        case list():
            items = cast("list[object]", value)
            if name == "loc":
                yield name, ".".join(str(item) for item in items if item != "body")
                return
            for item in items:
                yield from _facts(item, name, depth - 1)
        case dict():
            for key, field in cast("dict[str, object]", value).items():
                yield from _facts(field, key, depth - 1)
        case _:
            pass


def _facts_in_text(text: str, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield a text; of one that is JSON, as gateways pass it on, its facts."""
    text = text.strip()
    if text.startswith(("{", "[")):
        try:
            yield from _facts(json.loads(text), name, depth - 1)
        except (ValueError, RecursionError):
            pass
        else:
            return
    # A page of HTML is a proxy's, and not about the request.
    if text and not text.lower().startswith(("<!doctype", "<html")):
        yield name, text[:MAX_TEXT_CHARS]


def _status_in(facts: list[tuple[str, str]]) -> int | None:
    """Return the HTTP status that an error in a stream names by its number or its code."""
    numbers = [int(text) for name, text in facts if name in ("code", "status") and text.isdigit()]
    statuses = [each for each in numbers if HTTPStatus.BAD_REQUEST <= each < 600]  # noqa: PLR2004
    return statuses[0] if statuses else None


def _first(facts: list[tuple[str, str]], name: str) -> str:
    """Return the first code under a name; no sentence."""
    codes = (text for each, text in facts if each == name and CODE.fullmatch(text))
    return next(codes, "")
