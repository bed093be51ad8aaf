"""Kinds of refusals: of the request, of this message, of the operator, or of this moment."""

import re
from http import HTTPStatus

import httpx2
import openai

from lib.model._refusals.refusal import Refusal
from lib.model._refusals.waits import retry_after
from lib.model.request import ModelRequest
from lib.models import Model
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

OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}
# Neither key nor path nor load.
ABOUT_REQUEST = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
TIMED_OUT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524}

WITHHELD = re.compile(
    r"content[_ ]filter|content[_ ]policy|responsibleaipolicy|content management policy"
    r"|data_?inspection_?failed|inappropriate content|content exists risk|usage guidelines"
    r"|usage polic|prohibited_content|moderation|input was flagged|sensitive content|new_sensitive"
    r"|unsafe|high[- ]risk|safety[_ ](?:system|settings|filter|polic|violation|check)"
    r"|blocked .{0,40}safety|block_?reason|guardrail|(?:was|were|been|is|are) flagged"
    r"|violat\w+.{0,60}(?:polic|terms|guideline)|acceptable use"
    r"|(?:disallowed|harmful|prohibited|forbidden|objectionable) content|敏感"
)
# The operator's account is held back, not a message.
ACCOUNT = re.compile(
    r"(?:account|organi[sz]ation|project|team|key)\b.{0,60}"
    r"(?:suspend|disabled|banned|deactivat|terminated|flagged|blocked)"
)
BILLING = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|fund)|billing_(?:not_active|hard_limit_reached)"
    r"|exceeded your current quota|credit balance|requires more credits|out of credits|arrearage"
    r"|payment required|account is not active|余额不足|spend(?:ing)? (?:limit|cap)"
    r"|(?:used|run out of|purchase|buy|add) (?:\w+ ){0,3}credits?\b|\brecharge\b|top[- ]?up"
    r"|(?:credits?|funds|balance) .{0,20}(?:depleted|exhausted|used up|not enough|insufficient)"
    r"|credit limit|api usage limits"
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
    r"|required for image input|content.{0,40}(?:must|expected|should|to) be a (?:valid )?string"
    r"|sequence, expected a string|only.{0,20}text.{0,20}(?:content|input|part|message)"
    r"|text[- ]only|input tag 'image|support (?:input image|image input)"
)
# … or no documents …
NO_DOCUMENTS = re.compile(
    r"unknown variant .?(?:input_)?file\b|input tag '(?:input_)?file\b"
    r"|(?:invalid value|(?:unknown|unsupported) (?:part|content)(?: part)? type):? .?"
    r"(?:input_)?file\b|no endpoints found that support (?:file|pdf|document)"
    r"|(?:\bpdfs?\b|documents?\b|file (?:content|input|part|type|upload)s?).{0,60}(?:not|n't|un)"
    r"(?: ?(?:support|enabled|available|allowed|able))|(?:not|n't|un)[ _]?(?:support|accept"
    r"|enabled).{0,40}(?:\bpdfs?\b|documents?\b|file (?:content|input|part|type|upload))"
    r"|only image types are supported|unsupported content\[\]\.type"
)
# … or it cannot read this one.
BAD_FILE = re.compile(
    r"unsupported image|valid image|invalid_?.?image|could not process image|invalid base64"
    r"|unable to process input image|\b(?:download|fetch|load|open|decode|identify|read)"
    r"(?:ed|ing)?\b.{0,30}(?:image|file|media|https?:)|image.{0,60}(?:too (?:large|big)|exceed)"
    r"|image.{0,60}(?:corrupt|dimensions)|image_(?:parse|too)|mime type|image (?:format|type)"
    r"|(?:fail|unable|cannot|could not)\w*(?: to)? (?:process|parse|read|extract).{0,20}"
    r"(?:image|pdf|document|file)|(?:pdf|file|document).{0,60}(?:password|encrypted|corrupt"
    r"|not valid|damaged|too (?:large|big)|no pages|parsing failed)"
    r"|invalid (?:file data|pdf)|pdf pages"
)
# Said of a question with an image or a document, this is about the file, in whatever words.
ABOUT_FILE = re.compile(
    r"\bpdf|document|attachment|content\[\]|(?:part|input|message) (?:type|format)"
    r"|image|picture|photo|vision|multi-?modal|\bmedia|\bfiles?\b|\burls?\b|download|fetch|retriev"
    r"|content type|be a (?:valid )?string|text messages"
)
TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length|tokens_limit_reached"
    r"|request_too_large|context (?:length|window|size|limit)|maximum model length"
    r"|(?:prompt|input|request|message|body|conversation) .{0,60}too (?:long|large|big)"
    r"|too many (?:input )?tokens|request too large|token (?:count|limit).{0,40}exceed"
    r"|exceed.{0,40}(?:token|context|input length|maximum length)|range of input length"
    r"|reduce (?:the length|your (?:prompt|message|input))|longer than .{0,40}(?:model|maximum)"
    r"|(?:prompt|input|message|tokens?) (?:\w+ ){0,2}(?:exceed|>)"
    r"|must have (?:less|fewer|at most) .{0,20}tokens|`?inputs`? tokens \+"
    r"|(?:输入|上下文|长度).{0,8}(?:过长|超)"
)
# The model wrote a call that cannot be read: Groq, Ollama, llama.cpp.
GARBLED_CALL = re.compile(
    r"tool_use_failed|output_parse_failed|failed to call a function|malformed_function_call"
    r"|tool call validation failed"
    r"|(?:fail\w*|error|unable|could not|cannot)(?: to)? pars\w+.{0,30}(?:tool|function)[ _-]?call"
)
RATE_LIMITED = re.compile(
    r"overloaded|rate[_ ]?limit|too many requests|resource_?exhausted|at capacity|throttl"
    r"|please wait"
)
BUSY = re.compile(rf"{RATE_LIMITED.pattern}|\bunavailable\b")


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
    if _is_withheld(refusal):
        return AnswerWithheld()
    if _is_of_billing(refusal):
        return ModelRefused()
    has_file = request.question is not None and request.question.has_file
    if has_file and any(map(refusal.says, (NO_IMAGES, NO_DOCUMENTS, BAD_FILE))):
        return FileRefused()
    if is_too_long(refusal):
        return FileRefused() if has_file and request.may_shorten else ConversationTooLong()
    if has_file and refusal.status in ABOUT_REQUEST and refusal.says(ABOUT_FILE):
        return FileRefused()
    return _passing_problem(refusal) or ModelRefused()


def _passing_problem(refusal: Refusal) -> ModelFailed | None:
    """Return the problem if the same request may be accepted later."""
    if _is_overload(refusal) or (refusal.status is None and refusal.says(BUSY)):
        return ModelOverloaded(retry_after_seconds=retry_after(refusal))
    if refusal.status in TIMED_OUT:
        return ModelTimeout()
    if refusal.status is None and (refusal.says(KEY) or refusal.says(MODEL)):
        return None
    is_of_provider = refusal.status is None or refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ModelFailed() if is_of_provider or refusal.says(GARBLED_CALL) else None


def is_of_request(refusal: Refusal) -> bool:
    """Return whether another request may be accepted: the reason is none of key, limit or load."""
    if _is_withheld(refusal) or _is_of_billing(refusal):
        return False
    if _is_overload(refusal):
        return is_too_long(refusal)
    return refusal.status not in TIMED_OUT | {HTTPStatus.UNAUTHORIZED}


def is_too_long(refusal: Refusal) -> bool:
    """Return whether a shorter request may be accepted."""
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    if _is_overload(refusal):
        # A request that alone exceeds the tokens of a minute is never accepted.
        return "request too large" in refusal.words
    return refusal.says(TOO_LONG)


def _is_overload(refusal: Refusal) -> bool:
    """Return whether the same request may be accepted in a while; in a stream, words alone say."""
    if refusal.status is None:
        return refusal.says(RATE_LIMITED)
    return refusal.status in OVERLOADED


def _is_withheld(refusal: Refusal) -> bool:
    if refusal.status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        return True
    # A filter may be too busy itself.
    is_of_else = refusal.status in OVERLOADED | TIMED_OUT | {HTTPStatus.UNAUTHORIZED}
    return refusal.says(WITHHELD) and not (is_of_else or refusal.says(ACCOUNT))


def log_refusal(refusal: Refusal, model: Model) -> None:
    """Log a refusal that only the operator can end, and the setting to look at."""
    log(
        "model_refused",
        model=model.model,
        status=refusal.status,
        code=refusal.log_fields["code"],
        param=refusal.log_fields["param"],
        provider_request_id=refusal.log_fields["provider_request_id"],
        look_at=_setting_of(refusal, model),
    )


def _setting_of(refusal: Refusal, model: Model) -> str:
    if _is_of_billing(refusal):
        return "the provider's billing"
    if refusal.says(MODEL):
        return model.setting
    if refusal.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or refusal.says(KEY):
        return model.key_setting
    if refusal.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        is_entry = model.setting.startswith("MODELS")
        return model.setting if is_entry else f"OPENAI_BASE_URL, OPENAI_API, {model.setting}"
    return f"{model.setting}, and the OPENAI_ variables"


def _is_of_billing(refusal: Refusal) -> bool:
    if refusal.status == HTTPStatus.PAYMENT_REQUIRED:
        return True
    if "insufficient_quota" in refusal.words or "limit: 0," in refusal.words:
        return True
    return refusal.says(BILLING) and not refusal.says(BY_THE_MINUTE)
