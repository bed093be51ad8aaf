"""Why a request to the provider failed, and the problem that a client gets for it.

A provider names the cause in a code, a parameter or in words, and each in a body of its own shape.
All that it says is read into one text, and the patterns here and in `_cures.py` look into that.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import islice
from math import isfinite
from typing import cast

import httpx2
import openai

from lib.model.reply import ProviderError
from lib.model.request import ModelRequest
from lib.problems import (
    AnswerWithheld,
    ConversationTooLong,
    FileRefused,
    ModelFailed,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
)
from lib.runtime.log import log
from lib.settings import settings

OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}
RETRY_AFTER_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0

# The provider repeats the request in these, and with it words of the user.
ECHOES = {"input", "ctx", "failed_generation", "url", "request_id"}
MAX_TEXT_CHARS = 4000
MAX_TEXTS = 100
MAX_BODY_DEPTH = 8
CODE = re.compile(r"[a-z_][a-z0-9_.\[\]]{0,63}")

WITHHELD = re.compile(
    r"content[_ ]filter|content[_ ]policy|responsibleaipolicy|content management policy"
    r"|data_?inspection_?failed|inappropriate content|content exists risk|usage guidelines"
    r"|usage polic|prohibited_content|moderation|input was flagged|sensitive content|new_sensitive"
    r"|unsafe|high risk|safety_(?:violation|check)|blocked .{0,40}safety|敏感"
)
BILLING = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|fund)|billing_(?:not_active|hard_limit_reached)"
    r"|exceeded your current quota|credit balance|requires more credits|out of credits|arrearage"
    r"|payment required|account is not active|余额不足"
)
# Gemini says "exceeded your current quota" for its limits by the minute too.
BY_THE_MINUTE = re.compile(r"(?:re)?try again in|retry in|retrydelay")
KEY = re.compile(r"api[ _-]?key|authentication|unauthori[sz]ed|permission|credentials")
MODEL = re.compile(
    r"model_not_found|model_decommissioned|deploymentnotfound|no endpoints found for"
    r"|(?:no such|unknown|invalid|valid) model|model .{0,120}(?:not (?:exist|found)|exists? not"
    r"|decommissioned|deprecated|not available|no longer)"
)
# The model reads no images …
NO_IMAGES = re.compile(
    r"unknown variant .?image_url|image_url is only supported|unexpected item type in content"
    r"|no endpoints found that support image|(?:image|vision|multi-?modal).{0,80}(?:not|n't|un)"
    r"(?: ?(?:support|enabled|available|allowed|able))|(?:not|n't|un)[ _]?(?:support|a multi-?modal"
    r"|accept|enabled).{0,40}(?:image|vision|multi-?modal)|at most 0 image|not a multi-?modal"
    r"|required for image input|content.{0,40}(?:must|expected|should) be a (?:valid )?string"
    r"|sequence, expected a string|only.{0,20}text.{0,20}(?:content|input|part)"
)
# … or it cannot read this one.
BAD_IMAGE = re.compile(
    r"unsupported image|valid image|invalid_?.?image|could not process image|invalid base64"
    r"|unable to process input image|\b(?:download|fetch|load|open|decode|identify|read)"
    r"(?:ed|ing)?\b.{0,30}(?:image|file|media|https?:)|image.{0,60}(?:too (?:large|big)|exceed)"
    r"|image.{0,60}(?:corrupt|dimensions)|image_(?:parse|too)|mime type"
)
TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length|tokens_limit_reached"
    r"|request_too_large|context (?:length|window|size|limit)|maximum model length"
    r"|(?:prompt|input|request|message|body|conversation) .{0,60}too (?:long|large|big)"
    r"|too many (?:input )?tokens|request too large|token (?:count|limit).{0,40}exceed"
    r"|exceed.{0,40}(?:token|context|input length|maximum length)|range of input length"
    r"|reduce (?:the length|your (?:prompt|message|input))"
)
# Groq's: the model wrote a call that cannot be read.
GARBLED_CALL = re.compile(r"tool_use_failed|failed to call a function")
BUSY = re.compile(
    r"overloaded|rate[_ ]?limit|too many requests|resource_?exhausted|at capacity|\bunavailable\b"
)
# "45s", "9m38.016s", "120ms", "1h2m".
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)(m?s))?")
WAIT = re.compile(r"(?:try again|retry) (?:in|after) ([\dhms.]+)")


class Refusal(Exception):
    """A provider's refusal of a request.

    Its own text stands in the log, and so it never has the provider's words, which may repeat a key
    or the user's message.

    Attributes:
        status: of HTTP; of an error in a stream, the status that it names; None: it names none.
        code: the provider's code; '' if there is none.
        param: the field of the request that is refused, as `messages[0].role`; '' if not named.
        words: all that the provider says, codes included, in small letters: one text a line.
        headers: of the response.
    """

    def __init__(self, status: int | None, body: object, headers: Mapping[str, str]) -> None:
        """Read the error."""
        all_facts = ((name, text.lower()) for name, text in _facts(body, "", MAX_BODY_DEPTH))
        facts = list(islice(all_facts, MAX_TEXTS))
        self.status = status or _status_in(facts)
        self.code = _first(facts, "code") or _first(facts, "status") or _first(facts, "type")
        self.param = _first(facts, "param") or _first(facts, "loc")
        self.words = "\n".join(text for _, text in facts)
        self.headers = headers
        named = (str(self.status or ""), self.code, self.param)
        super().__init__(" ".join(each for each in named if each))

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Return whether the provider's words match a pattern."""
        return pattern.search(self.words) is not None

    def resembles(self, other: "Refusal") -> bool:
        """Return whether two refusals differ in numbers at most."""
        mine, theirs = (re.sub(r"\d+", "", each.words) for each in (self, other))
        return (self.status, mine) == (other.status, theirs)


def refusal_in(error: Exception) -> Refusal | None:
    """Return the refusal that an error reports; None: the request failed on its way."""
    match error:
        case openai.APIStatusError():
            return Refusal(error.status_code, cast("object", error.body), error.response.headers)
        case ProviderError():
            return Refusal(None, error.error, {})
        case _:
            return None


def problem_of(error: Exception) -> ModelFailed:
    """Return the problem that a failure on the way to the provider is for a client."""
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ModelTimeout()
    return ModelFailed()


def problem_of_refusal(refusal: Refusal, request: ModelRequest) -> ModelFailed:
    """Return the problem that a refusal is for a client.

    Args:
        refusal: the refusal, for which there is no cure (any more).
        request: the request that was refused.
    """
    if refusal.says(WITHHELD):
        return AnswerWithheld()
    if _is_of_billing(refusal):
        return ModelRefused()
    has_image = request.question is not None and request.question.has_image
    if has_image and (refusal.says(NO_IMAGES) or refusal.says(BAD_IMAGE)):
        return FileRefused()
    if is_too_long(refusal):
        return FileRefused() if has_image else ConversationTooLong()
    return _passing_problem(refusal) or ModelRefused()


def _passing_problem(refusal: Refusal) -> ModelFailed | None:
    """Return the problem if the same request may be accepted later."""
    if refusal.status in OVERLOADED or (refusal.status is None and refusal.says(BUSY)):
        return ModelOverloaded(retry_after_seconds=_retry_after(refusal))
    if refusal.status in TIMED_OUT:
        return ModelTimeout()
    is_of_provider = refusal.status is None or refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ModelFailed() if is_of_provider or refusal.says(GARBLED_CALL) else None


def is_of_request(refusal: Refusal) -> bool:
    """Return whether another request may be accepted: the reason is none of key, limit or load."""
    if refusal.says(WITHHELD) or _is_of_billing(refusal):
        return False
    if refusal.status in OVERLOADED:
        return is_too_long(refusal)
    return refusal.status not in TIMED_OUT | {HTTPStatus.UNAUTHORIZED}


def is_too_long(refusal: Refusal) -> bool:
    """Return whether a shorter request may be accepted."""
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    if refusal.status in OVERLOADED:
        # A request that alone exceeds the tokens of a minute is never accepted.
        return "request too large" in refusal.words
    return refusal.says(TOO_LONG)


def log_refusal(refusal: Refusal, model: str) -> None:
    """Log a refusal that only the operator can end, and the setting to look at."""
    log(
        "model_refused",
        model=model,
        status=refusal.status,
        code=refusal.code,
        param=refusal.param,
        look_at=_setting_of(refusal, model),
    )


def _setting_of(refusal: Refusal, model: str) -> str:
    if _is_of_billing(refusal):
        return "the provider's billing"
    variable = _variable_of(model)
    if refusal.says(MODEL):
        return variable
    if refusal.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or refusal.says(KEY):
        return "OPENAI_API_KEY"
    if refusal.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return f"OPENAI_BASE_URL, {variable}"
    return "the OPENAI_ variables"


def _variable_of(model: str) -> str:
    """Return the variable that names a model."""
    names = {
        settings().openai_analysis_model: "OPENAI_ANALYSIS_MODEL",
        settings().openai_title_model: "OPENAI_TITLE_MODEL",
        settings().openai_model: "OPENAI_MODEL",
    }
    return names.get(model, "OPENAI_MODEL")


def _is_of_billing(refusal: Refusal) -> bool:
    if refusal.status == HTTPStatus.PAYMENT_REQUIRED:
        return True
    if "insufficient_quota" in refusal.words or "limit: 0," in refusal.words:
        return True
    return refusal.says(BILLING) and not refusal.says(BY_THE_MINUTE)


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
    """Return the first code under a name; no sentence and no key, because the log has it."""
    codes = (text for each, text in facts if each == name and CODE.fullmatch(text))
    return next(codes, "")


def _retry_after(refusal: Refusal) -> float:
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
