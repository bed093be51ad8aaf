"""The table of cures: how a provider words a refusal, and how the next request differs.

The words are those that providers, gateways and chat templates were seen to use. A provider's next
quirk is one more row.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from lib.model._refusals.kinds import (
    ABOUT_FILE,
    ABOUT_REQUEST,
    BAD_FILE,
    GARBLED_CALL,
    NO_DOCUMENTS,
    NO_IMAGES,
    is_too_long,
)
from lib.model._refusals.refusal import Refusal
from lib.model._refusals.requests import (
    with_bare_schemas,
    with_calls_as_text,
    with_free_choice,
    with_reasoning,
    with_schema_as_words,
    with_signatures,
    without_earlier_files,
    without_forced_tool,
    without_states,
    without_system_role,
    without_tools,
    without_unanswered,
    without_web_search,
)
from lib.model.request import AssistantMessage, Document, Image, ModelRequest

type Body = dict[str, Any]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Nothing is left without these, or they have cures of their own.
ESSENTIAL = frozenset({"model", "messages", "input", "instructions", "stream"}) | {
    *("tools", "tool_choice", "response_format", "text")
}
NEGATIVE = (
    r"(?:\bnot?\b|n't|unsupported|unknown|unrecogni[sz]ed|unexpected|unavailable|invalid|extra"
    r"|incompatible|only|requires?|disabled|cannot|forbid|refuse|too (?:large|big|high|small|low))"
)


def _same[Changed](unchanged: Changed) -> Changed:
    return unchanged


@dataclass(frozen=True, slots=True)
class Cure:
    """A change without which a provider refuses a request.

    Attributes:
        name: tells cures apart; the log has it.
        request: changes the request.
        body: changes the body that the dialect has made of it.
        is_last: changes the request after all others, which look for the question in it.
        is_lasting: all requests to the model need it.
    """

    name: str
    request: Callable[[ModelRequest], ModelRequest] = field(default=_same, compare=False)
    body: Callable[[Body], Body] = field(default=_same, compare=False)
    is_last: bool = field(default=False, compare=False)
    is_lasting: bool = field(default=True, compare=False)


type FindCure = Callable[[Refusal, ModelRequest, Body], Cure | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of refusal and its cure.

    Attributes:
        is_for: tells whether a refusal is of this kind.
        cure: the cure, or a function that finds it by the refusal.
    """

    is_for: Callable[[Refusal], bool]
    cure: Cure | FindCure


def cures_of(refusal: Refusal, request: ModelRequest, body: Body) -> Iterator[Cure]:
    """Yield the cures that may help against a refusal, the likeliest first."""
    if refusal.says(GARBLED_CALL):
        # The provider takes tools: another request would cost all later ones theirs.
        yield AGAIN
        return
    for row in TABLE:
        if row.is_for(refusal):
            cure = row.cure if isinstance(row.cure, Cure) else row.cure(refusal, request, body)
            if cure is not None:
                yield cure


# --- how refusals are recognised


def _says(*patterns: str) -> Callable[[Refusal], bool]:
    compiled = re.compile("|".join(patterns))
    return lambda refusal: refusal.says(compiled)


def _denies(*patterns: str) -> Callable[[Refusal], bool]:
    """Return a test for one of some words near to a negative."""
    return _says(_near("|".join(patterns)))


def _denies_as_request(*patterns: str) -> Callable[[Refusal], bool]:
    """Return what recognises one of some vague words, unless the provider itself has failed."""
    denies = _denies(*patterns)
    return lambda refusal: not refusal.is_of_server and denies(refusal)


def _near(words: str) -> str:
    return rf"(?:{words}).{{0,100}}?{NEGATIVE}|{NEGATIVE}.{{0,100}}?(?:{words})"


def _names(*fields: str) -> Callable[[Refusal], bool]:
    """Return a test for a refusal of a field of the body, or of something in it."""
    return lambda refusal: re.split(r"[.\[]", refusal.param)[0] in fields


# --- cures that depend on the refusal


def _fewer_files(refusal: Refusal, request: ModelRequest, _body: Body) -> Cure | None:
    if refusal.says(BAD_FILE) or not refusal.says(NO_IMAGES):
        # The files of other conversations may be good.
        return WITHOUT_FILES_ONCE
    # An image in the question is the user's to leave out.
    if request.question is not None and request.question.has(Image):
        return None
    return WITHOUT_FILES


def _no_documents(_refusal: Refusal, request: ModelRequest, _body: Body) -> Cure | None:
    if request.question is not None and request.question.has(Document):
        return None
    return WITHOUT_DOCUMENTS


def _without_files(request: ModelRequest) -> ModelRequest:
    return without_earlier_files(request, Image, Document)


def _other_effort(refusal: Refusal, _request: ModelRequest, body: Body) -> Cure | None:
    """Take the nearest effort that the provider names instead, or none at all."""
    sent = _effort_in(body)
    if sent is None:
        return None
    offered = "\n".join(re.findall(OFFER, refusal.words))
    efforts = [each for each in EFFORTS if each != sent and re.search(rf"\b{each}\b", offered)]
    if efforts and sent in EFFORTS:
        place = EFFORTS.index(sent)
        nearest = min(efforts, key=lambda each: abs(EFFORTS.index(each) - place))
        return Cure(
            f"reasoning_effort {nearest} for {sent}",
            body=partial(_with_other_effort, refused=sent, effort=nearest),
        )
    return Cure(f"without reasoning_effort {sent}", body=partial(_without_effort, refused=sent))


OFFER = re.compile(r"(?:values|levels|one of|should be|must be|expected).*")


def _refused_field(refusal: Refusal, _request: ModelRequest, body: Body) -> Cure | None:
    """Leave out the field of the body that the provider names, such as `stream_options`."""
    for name in body.keys() - ESSENTIAL:
        if _names(name.lower())(refusal) or refusal.says(_naming(name.lower())):
            return _without(name)
    return None


@cache
def _naming(name: str) -> re.Pattern[str]:
    """Return the pattern of words that name a field; one word must be marked as a name."""
    if "_" in name:
        return re.compile(_near(rf"(?<![\w.]){re.escape(name)}\b"))
    marked = rf"['\"`]{re.escape(name)}['\"`.]"
    return re.compile(_near(rf"{marked}|(?:parameter|argument|supplied):? {re.escape(name)}\b"))


def _web_search(refusal: Refusal, request: ModelRequest, body: Body) -> Cure | None:
    """Leave out the web search where the provider names it, or a tool among those of the body."""
    is_tool = {"type": "web_search"} in body.get("tools", [])
    is_about_it = ABOUT_WEB_SEARCH(refusal) or (is_tool and ABOUT_TOOLS(refusal))
    return WITHOUT_WEB_SEARCH if request.web_search and is_about_it else None


def _states(refusal: Refusal, request: ModelRequest, _body: Body) -> Cure | None:
    """Leave states out where the provider names one of their fields, or an earlier message."""
    names = {name.lower() for name in _names_of_states(request)} - {"id"}
    is_named = any(re.search(rf"\b{re.escape(name)}\b", refusal.words) for name in names)
    return WITHOUT_STATES if is_named or _names("messages", "input")(refusal) else None


def _names_of_states(request: ModelRequest) -> Iterator[str]:
    for message in request.messages:
        if isinstance(message, AssistantMessage):
            yield from message.state or {}
            for call in message.calls:
                yield from call.state or {}


# --- changes of the body, for fields that the request does not have


def _without(name: str) -> Cure:
    return Cure(f"without {name}", body=partial(_without_field, name=name))


def _without_field(body: Body, name: str) -> Body:
    return {key: value for key, value in body.items() if key != name}


def _effort_in(body: Body) -> str | None:
    """Return the effort in a body of either dialect."""
    reasoning: dict[str, Any] = body.get("reasoning") or {}
    return body.get("reasoning_effort") or reasoning.get("effort")


def _with_effort(body: Body, effort: str) -> Body:
    if "reasoning" in body:
        return body | {"reasoning": body["reasoning"] | {"effort": effort}}
    return body | {"reasoning_effort": effort}


def _with_other_effort(body: Body, refused: str, effort: str) -> Body:
    return _with_effort(body, effort) if _effort_in(body) == refused else body


def _without_effort(body: Body, refused: str) -> Body:
    """Leave out an effort that is refused; titles ask for another one than answers."""
    if _effort_in(body) != refused:
        return body
    return _without_field(body, "reasoning" if "reasoning" in body else "reasoning_effort")


def _without_effort_for_tools(body: Body) -> Body:
    return _with_effort(body, "none") if "tools" in body else body


def _without_summary(body: Body) -> Body:
    """Ask for no summary of the model's thoughts, but keep the effort."""
    reasoning = _without_field(body.get("reasoning") or {}, "summary")
    return body | {"reasoning": reasoning} if reasoning else _without_field(body, "reasoning")


def _with_other_limit(body: Body) -> Body:
    """Call the limit of the answer's length by its other name."""
    others = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
    return {others.get(name, name): value for name, value in body.items()}


# --- the table

AGAIN = Cure("again", is_lasting=False)
# `CuredRequest` knows how much shorter.
SHORTER = Cure("shorter", is_lasting=False)
WITHOUT_DOCUMENTS = Cure(
    "without earlier documents", lambda request: without_earlier_files(request, Document)
)
WITHOUT_FILES = Cure("without earlier files", _without_files)
WITHOUT_FILES_ONCE = Cure("without earlier files, once", _without_files, is_lasting=False)
WITHOUT_STATES = Cure("without states", without_states)
WITHOUT_FORCED_TOOL = Cure("without forced tool", without_forced_tool)
WITHOUT_TOOLS = Cure("without tools", without_tools, is_last=True)
TOOLS = (r"\btools?\b", r"\bfunctions?\b", r"function[ _-]?call")
CALLS_AS_TEXT = Cure("calls as text", with_calls_as_text, is_last=True)

WITHOUT_WEB_SEARCH = Cure("without web search", without_web_search)
ABOUT_WEB_SEARCH = _says(r"web[ _-]?search|hosted tool|built-?in tool")
ABOUT_TOOLS = _says(r"\btools?\b")

# The first row counts that changes something and was not tried: precise words come before vague
# ones, and the lighter cure before the heavier one.
TABLE = (
    Row(_says(NO_DOCUMENTS.pattern), _no_documents),
    Row(_says(BAD_FILE.pattern, NO_IMAGES.pattern), _fewer_files),
    # Gemini
    Row(
        _says(r"thought[_ ]?signature"),
        Cure("signatures", partial(with_signatures, is_for_all=False)),
    ),
    Row(
        _says(r"thought[_ ]?signature"),
        Cure("other signatures", partial(with_signatures, is_for_all=True)),
    ),
    # DeepSeek, Kimi
    Row(
        _says(
            r"reasoning_content.{0,60}(?:missing|must be|required|passed back)",
            r"missing.{0,40}reasoning_content",
        ),
        Cure("blank reasoning", with_reasoning),
    ),
    # OpenAI from GPT-5.4 on
    Row(
        _says(r"tools.{0,40}reasoning_effort.{0,60}not supported", r"reasoning_effort to 'none'"),
        Cure("no effort with tools", body=_without_effort_for_tools),
    ),
    # OpenAI for models that do not think, and for organizations that are not verified
    Row(_says(r"reasoning[_. ]summar(?:y|ies)"), Cure("no summaries", body=_without_summary)),
    Row(
        _says(r"reasoning[_. ]?effort", r"support thinking", r'"think" value', "valid levels"),
        _other_effort,
    ),
    Row(
        _denies(r"max_(?:completion_)?tokens"),
        Cure("max_tokens by its other name", body=_with_other_limit),
    ),
    Row(lambda _refusal: True, _web_search),
    Row(_says(r"tool[_. ]?choice|\bforc(?:e|es|ed|ing)\b"), WITHOUT_FORCED_TOOL),
    Row(_says(r"tool[_. ]?choice"), Cure("without tool_choice", with_free_choice)),
    Row(
        _denies(r"response[_ ]format", r"json[_ ]mode", "json_schema", "structured output"),
        Cure("schema as words", with_schema_as_words),
    ),
    Row(lambda _refusal: True, _refused_field),
    Row(_says(r"call[_ ]?ids?\b", r"tool_calls\S*\.id\b"), WITHOUT_STATES),
    Row(is_too_long, SHORTER),
    Row(
        _says("schema", "function_declarations", "grammar", "too big to convert", "unknown name"),
        Cure("bare schemas", with_bare_schemas),
    ),
    # Gemma, and chat templates that count the system message as the user's
    Row(
        _says(
            _near(r"system (?:role|prompt|message)|'system'|developer instruction|role:? .?system"),
            r"roles? must alternate",
            r"only user",
            r"first message.{0,40}user",
            r"messages[.\[]0\]?\.role.{0,60}user",
        ),
        Cure("without the system role", without_system_role, is_last=True),
    ),
    # Groq, Mistral, strict servers; Anthropic and Responses for states that they cannot verify
    Row(lambda _refusal: True, _states),
    Row(
        _says("signature", "encrypted", "thinking", "of type .{0,40} was provided without"),
        WITHOUT_STATES,
    ),
    # Ollama, vLLM, llama.cpp, OpenRouter
    Row(
        _says(
            r"auto.{0,4} tool choice requires",
            r"--jinja",
            r"endpoints found that support tool",
            r"(?:not|n't) support (?:tools?\b|tool[ -](?:use|call)|function)",
            r"(?:tool|function)[ _-]?(?:use|call\w*) is (?:not|un)",
            r"unsupported param: tools",
        ),
        WITHOUT_TOOLS,
    ),
    # Bedrock, Anthropic, Mistral, templates without a form for calls
    Row(
        _says(
            r"tool_?(?:use|result|config|calls?)\b",
            r"tool (?:use|result|call)",
            r"tools=",
            r"roles?.{0,30}tool|tool.{0,15} role",
            r"function (?:call|response)",
            r"roles? must alternate|only user and assistant",
            r"reasoning_content|thinking",
        ),
        CALLS_AS_TEXT,
    ),
    Row(_denies_as_request(*TOOLS), WITHOUT_FORCED_TOOL),
    Row(_denies_as_request(*TOOLS), WITHOUT_TOOLS),
    Row(_names("tools"), WITHOUT_TOOLS),
    Row(_names("messages", "input"), CALLS_AS_TEXT),
    Row(_says(ABOUT_FILE.pattern), _fewer_files),
    # In words that say nothing here: of an earlier question that was refused in the same ones.
    Row(
        lambda refusal: refusal.status in ABOUT_REQUEST | {HTTPStatus.FORBIDDEN},
        Cure("without unanswered questions", without_unanswered, is_lasting=False),
    ),
)
