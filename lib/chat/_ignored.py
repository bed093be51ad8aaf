"""Fields of a body that mean something, and that Parley would ignore: they are refused.

A client that asks for a temperature and gets 200 believes that it had one. Other names that Parley
does not know are let through: `useChat` sends an application's own fields with each message (its
`body`), often for a proxy in between, and a later version of it may send more.
"""

import re
from typing import Any

from pydantic import BaseModel

from lib.problems import InvalidRequest

_OPERATOR = "must not be set: the operator chooses it"
_EXTRA_BODY = f"{_OPERATOR}, in OPENAI_EXTRA_BODY"
_MAX_TOKENS = f"{_OPERATOR}, by OPENAI_MAX_TOKENS"
_INSTRUCTIONS = (
    "must not be set: PATCH /api/conversations?id= sets instructions for a conversation, PATCH "
    "/api/auth those for all of a user's, and the operator's are in SYSTEM_PROMPT"
)
_TOOLS = (
    "must not be set: the model is offered the operator's tools; tool_choice names the one that it "
    "must call"
)
_ANSWER_FORM = "must not be set: an answer is text. Ask for another form of it in the message"
_WEB_SEARCH = f"{_OPERATOR}, by OPENAI_WEB_SEARCH"
_ONE_ANSWER = "must not be set: a message gets one answer; regenerate-message asks for another one"
_FILES = (
    "must not be set: a file is a part of the message, in the form of useChat: "
    '{"type": "file", "mediaType", "url"}'
)
# In any spelling: topP is top_p.
_IN_BOTH_FORMS = {
    "temperature": f"{_OPERATOR}, by OPENAI_TEMPERATURE",
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), _MAX_TOKENS),
    **dict.fromkeys(
        ("top_p", "top_k", "min_p", "seed", "stop", "stop_sequences", "logit_bias", "verbosity"),
        _EXTRA_BODY,
    ),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "repetition_penalty"), _EXTRA_BODY),
    **dict.fromkeys(("parallel_tool_calls", "service_tier", "provider_options"), _EXTRA_BODY),
    "safety_identifier": "must not be set: Parley tells the provider which user asks",
    "prompt_cache_key": "must not be set: Parley chooses it",
    **dict.fromkeys(("reasoning", "thinking"), f"{_OPERATOR}, by OPENAI_REASONING_EFFORT"),
    **dict.fromkeys(
        ("system", "system_prompt", "instructions", "developer", "custom_instructions"),
        _INSTRUCTIONS,
    ),
    **dict.fromkeys(("tools", "functions", "active_tools"), _TOOLS),
    "function_call": "must not be set: tool_choice names the tool that the model must call",
    **dict.fromkeys(("max_steps", "max_tool_steps"), f"{_OPERATOR}, by MAX_TOOL_STEPS"),
    **dict.fromkeys(
        ("response_format", "output_format", "json_schema", "modalities"), _ANSWER_FORM
    ),
    **dict.fromkeys(("web_search", "web_search_options"), _WEB_SEARCH),
    **dict.fromkeys(("n", "best_of"), _ONE_ANSWER),
    **dict.fromkeys(("logprobs", "top_logprobs"), "must not be set: no probabilities are told"),
    **dict.fromkeys(("files", "attachments", "experimental_attachments"), _FILES),
}
_IN_PLAIN_FORM = _IN_BOTH_FORMS | {
    **dict.fromkeys(
        ("id", "chat_id", "thread_id"),
        "must not be set: conversation_id names the conversation, message_id the message",
    ),
    "parts": "must not be set: the parts of a message belong into the object message, as useChat "
    "sends it; this form has data",
    "images": _FILES,
    "trigger": "must not be set: only the form of useChat makes an answer again",
}
_IDS = ("conversation_id", "chat_id", "thread_id")
_IN_SDK_FORM = _IN_BOTH_FORMS | {
    **dict.fromkeys(_IDS, "must be the same as id, which names the conversation in this form"),
    "data": "must not be set: in this form, data are parts of the message, of a type data-…",
    "stream": "must not be set: this form is answered by a stream; send the message as a text to "
    "get JSON",
}
# Values that ask for what is so anyway.
_AS_IT_IS: dict[str, object] = {
    **dict.fromkeys(("n", "best_of"), 1),
    "stream": True,
    "trigger": "submit-message",
    "logprobs": False,
    "top_logprobs": 0,
}
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")


def refuse_ignored(content: dict[str, Any], form: type[BaseModel], *, is_plain: bool) -> None:
    """Check that a body has no field that plainly means something, and would be ignored.

    A field that asks for nothing is no such field (null, an empty text, list or object), and
    neither is one that asks for what is so anyway.

    Args:
        content: the body.
        form: the model of its form, whose fields are read.
        is_plain: it is the plain form, not that of useChat.

    Raises:
        InvalidRequest: when it has one; names each of them, and what to do instead.
    """
    read = _names_of(form)
    spellings = {_snake(name): name for name in read}
    details, as_it_is = _IN_PLAIN_FORM, _AS_IT_IS
    if not is_plain:
        details, as_it_is = _IN_SDK_FORM, _AS_IT_IS | dict.fromkeys(_IDS, content.get("id"))
    errors: list[dict[str, str]] = []
    for name in content.keys() - read:
        value, meaning = content[name], _snake(name)
        if value is None or value in ("", [], {}):
            continue
        if meaning in spellings:
            detail = f"must be written {spellings[meaning]}"
        elif meaning not in details or (meaning in as_it_is and value == as_it_is[meaning]):
            continue
        else:
            detail = details[meaning]
        errors.append({"field": name, "detail": detail})
    if errors:
        raise InvalidRequest(errors=sorted(errors, key=lambda error: error["field"]))


def _names_of(form: type[BaseModel]) -> set[str]:
    """Return the names of the fields that a form reads, other names of the same included."""
    names = set[str]()
    for name, field in form.model_fields.items():
        choices = getattr(field.validation_alias, "choices", (name,))
        names |= {str(choice) for choice in choices}
    return names


def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda capital: f"_{capital[0]}", name).lower()
