"""The operator's shape of a request: effort, temperature, limit, and fields that have no name here.

Titles and analyses (`ModelRequest.is_minor`) get the least effort instead. Providers ask for it in
different words, and a refused word costs a request, so Parley sends it only where one of these
holds: the host is in `LEAST_EFFORT`; the operator has set the model's effort, so the provider
reads that field, and a refusal of its value names it; or the model is the default one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from lib.model.request import ModelRequest
from lib.models import OPENAI_HOST
from lib.settings import DEFAULT_MODEL, settings

OPENAI = (OPENAI_HOST, "azure.com")
OLLAMA_PORT = 11434
NO_EFFORT_WORD = "none"
NO_EFFORT = {"reasoning_effort": NO_EFFORT_WORD}
# By host, because tables by model are out of date within weeks. OpenAI and Azure name a parameter
# that a model refuses. OpenRouter and Gemini refuse `none` for models that always think, and take
# these words for each. DeepSeek and Ollama take theirs for each model.
LEAST_EFFORT: dict[str, dict[str, Any]] = {
    **dict.fromkeys(OPENAI, NO_EFFORT),
    "openrouter.ai": {"reasoning": {"effort": "minimal"}},
    "generativelanguage.googleapis.com": {"reasoning_effort": "low"},
    "api.deepseek.com": {"thinking": {"type": "disabled"}},
    "ollama.com": NO_EFFORT,
}
# Fields of the extra body that ask a model to think, and their values that ask it not to.
THINKING = frozenset({"reasoning_effort", "reasoning", "thinking"})
NOT_THINKING = ("none", {"effort": "none"}, {"enabled": False}, {"type": "disabled"})


def with_chat_shape(body: dict[str, Any], request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request to Chat Completions with the operator's fields."""
    fields = _effort(request) | _temperature(request) | _marks(request)
    if (limit := request.model.max_tokens) is not None:
        # OpenAI's newer models refuse `max_tokens`; many other providers know no other name.
        fields["max_completion_tokens" if _is_at(request, *OPENAI) else "max_tokens"] = limit
    return _merged(_merged(body, fields), _extra(request))


def with_responses_shape(body: dict[str, Any], request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request to Responses with the operator's fields."""
    fields = _effort(request) | _temperature(request) | _marks(request)
    if (effort := fields.pop("reasoning_effort", None)) is not None:
        fields["reasoning"] = {"effort": effort}
    # Without being asked, the API tells nothing of a thought.
    is_wanted = request.model.reasoning and settings().reasoning != "hide"
    if is_wanted and not request.is_minor and effort != NO_EFFORT_WORD:
        fields["reasoning"] = fields.get("reasoning", {}) | {"summary": "auto"}
    if (limit := request.model.max_tokens) is not None:
        fields["max_output_tokens"] = limit
    return _merged(_merged(body, fields), _extra(request))


def _effort(request: ModelRequest) -> dict[str, Any]:
    chosen = request.model.reasoning_effort
    if request.is_minor:
        # The extra body may ask the model not to think, in the provider's own words.
        is_asked = bool(THINKING & _extra(request).keys())
        is_known = chosen is not None or request.model.model == DEFAULT_MODEL
        return {} if is_asked else _least_effort(request, is_known=is_known)
    if chosen is not None:
        return {"reasoning_effort": chosen}
    # The default model refuses tools in Chat Completions where this is left out.
    return NO_EFFORT if request.model.model == DEFAULT_MODEL else {}


def _least_effort(request: ModelRequest, *, is_known: bool) -> dict[str, Any]:
    """Return the fields that ask for the least effort, or none where they might be refused."""
    for host, fields in LEAST_EFFORT.items():
        if _is_at(request, host):
            return fields
    return NO_EFFORT if is_known or _port(request) == OLLAMA_PORT else {}


def _temperature(request: ModelRequest) -> dict[str, Any]:
    # It is chosen for the answers of one model: a model for titles may refuse it.
    temperature = request.model.temperature
    return {} if temperature is None or request.is_minor else {"temperature": temperature}


def _marks(request: ModelRequest) -> dict[str, Any]:
    """Return the fields that tell users and conversations apart, where the provider knows them.

    OpenAI may stop answering a whole account for one user's abuse unless it can tell the user:
    platform.openai.com/docs/guides/safety-best-practices. It routes requests with the same cache
    key to the machine that has their beginning.
    """
    if not _is_at(request, OPENAI_HOST):
        return {}
    marks = {"safety_identifier": request.user_mark, "prompt_cache_key": request.cache_mark}
    return {name: mark for name, mark in marks.items() if mark is not None}


def _extra(request: ModelRequest) -> Mapping[str, Any]:
    extra = request.model.extra_body or {}
    if not request.is_minor:
        return extra
    return {
        name: value
        for name, value in extra.items()
        if name not in THINKING or value in NOT_THINKING
    }


def _is_at(request: ModelRequest, *names: str) -> bool:
    """Tell whether the provider's host is one of these, or below one of them."""
    host = _host_of(request.model.base_url)
    return any(host == name or host.endswith(f".{name}") for name in names)


@cache
def _host_of(base_url: str) -> str:
    return urlsplit(base_url).hostname or ""


def _port(request: ModelRequest) -> int | None:
    try:
        return urlsplit(request.model.base_url).port
    except ValueError:
        return None


def _merged(body: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the fields of another, which wins.

    An object within both is merged likewise: `{"reasoning": {"summary": "auto"}}` keeps the effort.
    """
    merged = dict(body)
    for name, value in more.items():
        before: object = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = _merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged
