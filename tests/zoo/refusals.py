"""Why providers refuse requests: each reason is a small judge of a request.

The words are the providers' own, as people reported them, because Parley reads them.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, cast

from tests.support.strictest_provider import fault_in
from tests.zoo.asked import Asked, calls_of, object_in, objects_in, sealed, text_of, title_of
from tests.zoo.streams import sealed_detail

FORBIDDEN = "forbidden"
# The largest integer that validators of schemas read, and the least that they do not.
INT64_MAX = 2**63 - 1
SKIPPED_SIGNATURE = "skip_thought_signature_validator"
# The fields of messages in OpenAI's description of Chat Completions.
MESSAGE_FIELDS = {"role", "content", "tool_calls", "tool_call_id", "name", "refusal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal of a request.

    Attributes:
        message: the provider's words.
        status: the HTTP status.
        type: the error's type.
        code: the error's code.
        param: the parameter that the error names.
        more: further fields of the error.
        why: for the reader of a test's report, where the words do not say it.
    """

    message: str
    status: int = 400
    type: str | None = "invalid_request_error"
    code: str | int | None = None
    param: str | None = None
    more: tuple[tuple[str, Any], ...] = ()
    why: str = ""


type Judge = Callable[[Asked], Refusal | None]
# Puts a refusal into the form of a provider's body.
type Form = Callable[[Refusal], Any]


def openai_form(refusal: Refusal) -> Any:
    """Return the body of OpenAI, which most providers imitate."""
    fields = {"type": refusal.type, "param": refusal.param, "code": refusal.code}
    return {"error": {"message": refusal.message} | fields | dict(refusal.more)}


def bare_form(refusal: Refusal) -> Any:
    """Return the body of Mistral and of older vLLM: an error that stands in nothing."""
    fields = {"type": refusal.type, "param": refusal.param, "code": refusal.code}
    return {"object": "error", "message": refusal.message} | fields


def google_form(refusal: Refusal) -> Any:
    """Return the body of Gemini's compatible endpoint: a list."""
    status = "INVALID_ARGUMENT"
    return [{"error": {"code": refusal.status, "message": refusal.message, "status": status}}]


def llama_cpp_form(refusal: Refusal) -> Any:
    """Return the body of llama.cpp, whose code is the status."""
    fields = {"code": refusal.status, "message": refusal.message, "type": refusal.type}
    return {"error": fields | dict(refusal.more)}


def short_form(refusal: Refusal) -> Any:
    """Return the body of GLM: a code and the words."""
    return {"error": {"code": refusal.code, "message": refusal.message}}


def strict_order(message: str, **fields: Any) -> Judge:
    """Refuse any order of messages but the one that everybody takes."""

    def judge(asked: Asked) -> Refusal | None:
        why = fault_in(asked.items) if asked.is_chat else None
        return Refusal(message=message, why=why, **fields) if why else None

    return judge


def user_after_tool(asked: Asked) -> Refusal | None:
    """Refuse a user's message right after a tool's, as Mistral does."""
    roles = [item.get("role") for item in asked.items]
    if ("tool", "user") not in pairwise(roles):
        return None
    words = "Unexpected role 'user' after role 'tool'"
    return Refusal(message=words, type="invalid_request_message_order", code="3230")


def call_not_after_user(asked: Asked) -> Refusal | None:
    """Refuse a call that follows neither a user's message nor a tool's, as Gemini does."""
    before = ""
    for item in asked.items:
        if item.get("tool_calls") and before not in {"user", "tool"}:
            words = (
                "Please ensure that function call turn comes immediately after a user turn or "
                "after a function response turn."
            )
            return Refusal(message=words)
        before = item["role"]
    return None


def no_blank_text(asked: Asked) -> Refusal | None:
    """Refuse text that is empty or blank, as Anthropic does."""
    for item in asked.items:
        if item["role"] != "tool" and not text_of(item).strip() and not item.get("tool_calls"):
            has_image = item["role"] == "user" and isinstance(item["content"], list)
            if not has_image:
                return Refusal(message="messages: text content blocks must be non-empty")
    return None


def no_system(message: str, **fields: Any) -> Judge:
    """Refuse the system role."""

    def judge(asked: Asked) -> Refusal | None:
        has_system = any(item.get("role") in {"system", "developer"} for item in asked.items)
        return Refusal(message=message, **fields) if has_system else None

    return judge


def no_parameter(name: str, message: str, **fields: Any) -> Judge:
    """Refuse a parameter."""

    def judge(asked: Asked) -> Refusal | None:
        return Refusal(message=message, **fields) if asked.body.get(name) else None

    return judge


def tools_want_no_effort(asked: Asked) -> Refusal | None:
    """Refuse tools unless `reasoning_effort` is `none`, as OpenAI does from GPT-5.6 on."""
    if not asked.body.get("tools") or asked.body.get("reasoning_effort") == "none":
        return None
    words = (
        "Function tools with reasoning_effort are not supported for gpt-5.6-terra in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'."
    )
    return Refusal(message=words, param="reasoning_effort")


def effort_is_not_none(asked: Asked) -> Refusal | None:
    """Refuse the effort `none`, as models do that always think."""
    if asked.body.get("reasoning_effort") != "none":
        return None
    words = (
        "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
        "Supported values are: 'low', 'medium', 'high', and 'xhigh'."
    )
    return Refusal(message=words, param="reasoning_effort", code="unsupported_value")


def no_forced_tool(message: str, **fields: Any) -> Judge:
    """Refuse a forced `tool_choice` while the model thinks."""

    def judge(asked: Asked) -> Refusal | None:
        thinks = asked.body.get("thinking") != {"type": "disabled"}
        return Refusal(message=message, **fields) if asked.is_forced and thinks else None

    return judge


def no_schema_keyword(keyword: str, message: str) -> Judge:
    """Refuse a keyword of JSON Schema in the parameters of a tool."""

    def judge(asked: Asked) -> Refusal | None:
        found = any(keyword in each for each in _objects(asked.body.get("tools")))
        return Refusal(message=message) if found else None

    return judge


def no_large_bound(message: str, **fields: Any) -> Judge:
    """Refuse an integer in a tool's schema that 64 bits with a sign hold barely, or do not."""

    def judge(asked: Asked) -> Refusal | None:
        values = (value for each in _objects(asked.body.get("tools")) for value in each.values())
        found = any(isinstance(value, int) and value >= INT64_MAX for value in values)
        return Refusal(message=message, **fields) if found else None

    return judge


def ids_of_nine(asked: Asked) -> Refusal | None:
    """Refuse the id of a call that is not 9 letters or digits, as Mistral does."""
    for call in _calls(asked):
        if not re.fullmatch(r"[a-zA-Z0-9]{9}", call["id"]):
            words = f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9."
            return Refusal(message=words, type="invalid_function_call", code="3280")
    return None


def ids_of_forty(asked: Asked) -> Refusal | None:
    """Refuse the id of a call that has more than 40 characters, as OpenAI does."""
    for call in _calls(asked):
        if len(call["id"]) > 40:
            words = (
                "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with "
                f"maximum length 40, but got a string with length {len(call['id'])} instead."
            )
            return Refusal(message=words, code="string_above_max_length", param="messages")
    return None


def no_unknown_fields(asked: Asked) -> Refusal | None:
    """Refuse fields of messages and of calls that the description does not have."""
    for number, item in enumerate(asked.items):
        known = {"id", "type", "function", "index"}
        unknown = item.keys() - MESSAGE_FIELDS
        unknown |= {key for call in calls_of(item) for key in call.keys() - known}
        for name in sorted(unknown):
            at = ["body", "messages", number, item["role"], name]
            detail = {"type": "extra_forbidden", "loc": at, "msg": "Extra inputs are not permitted"}
            words = json.dumps({"detail": [detail]})
            return Refusal(message=words, status=422)
    return None


def wants_field(field: str, message: str, *, of_calls_only: bool) -> Judge:
    """Refuse the assistant's messages without a field, once a request has tools.

    Args:
        field: its name; blank content is accepted.
        message: the words, with `{}` for the number of the message.
        of_calls_only: messages without a tool call need no field.
    """

    def judge(asked: Asked) -> Refusal | None:
        if not asked.body.get("tools"):
            return None
        for number, item in enumerate(asked.items):
            is_meant = item.get("tool_calls") or not of_calls_only
            if item["role"] == "assistant" and is_meant and not isinstance(item.get(field), str):
                return Refusal(message=message.format(number), code="invalid_request_error")
        return None

    return judge


def wants_signatures(asked: Asked) -> Refusal | None:
    """Refuse a call without its thought signature, as Gemini 3 does."""
    for number, call in enumerate(_calls(asked)):
        google = object_in(object_in(call, "extra_content"), "google")
        signature = google.get("thought_signature")
        if signature not in {SKIPPED_SIGNATURE, sealed(title_of(call))}:
            words = (
                "Function call is missing a thought_signature in functionCall parts. This is "
                "required for tools to work correctly, and missing thought_signature may lead to "
                "degraded model performance. Additional data, function call "
                f"`default_api:{call['function']['name']}` , position {number + 2}. Please refer "
                "to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
            return Refusal(message=words, why="changed" if signature else "")
    return None


def details_unchanged(asked: Asked) -> Refusal | None:
    """Refuse `reasoning_details` that are not as they came, with their pieces joined by index."""
    for number, item in enumerate(asked.items):
        if (found := item.get("reasoning_details")) is None:
            continue
        first: dict[str, Any] = found[0] if found else {}
        text = first.get("text", "")
        expected: dict[str, Any] = {
            "type": "reasoning.text",
            "text": text,
            "signature": sealed(text),
            "format": "anthropic-claude-v1",
            "index": 0,
        }
        if found != [expected, sealed_detail()]:
            raw = {"message": f"messages.{number}.content.0: Invalid signature in thinking block"}
            metadata = {"raw": json.dumps(raw), "provider_name": "Amazon Bedrock"}
            return Refusal(
                message="Provider returned error",
                code=400,
                more=(("metadata", metadata),),
                why=f"reasoning_details: {found}"[:200],
            )
    return None


def blocks_unchanged(seal: Callable[[Asked, str, int | None], str], more: str = "") -> Judge:
    """Refuse `thinking_blocks` whose signature is not the one that they came with.

    Args:
        seal: makes the signature of a thought in the message of a number.
        more: further words of the refusal.
    """

    def judge(asked: Asked) -> Refusal | None:
        for number, item in enumerate(asked.items):
            for block in objects_in(item, "thinking_blocks"):
                if block.get("signature") != seal(asked, block.get("thinking", ""), number):
                    words = f"messages.{number}.content.0: Invalid `signature` in `thinking` block"
                    return Refusal(message=words + more)
        return None

    return judge


def seal_of_thought(_asked: Asked, thought: str, _number: int | None = None) -> str:
    """Return a signature that binds a thought to nothing."""
    return sealed(thought)


def seal_of_beginning(asked: Asked, thought: str, number: int | None = None) -> str:
    """Return a signature that binds a thought to all messages before it."""
    before = json.dumps(asked.items[:number], sort_keys=True)
    return sealed(thought + sha256(before.encode()).hexdigest())


def filters(refusal: Refusal) -> Judge:
    """Refuse a request that has a forbidden word in any message of the user."""

    def judge(asked: Asked) -> Refusal | None:
        users = (text_of(item) for item in asked.items if item.get("role") == "user")
        return refusal if any(FORBIDDEN in text for text in users) else None

    return judge


def context_of(chars: int, refusal: Refusal) -> Judge:
    """Refuse a request whose texts have more characters."""

    def judge(asked: Asked) -> Refusal | None:
        is_longer = sum(len(text_of(item)) for item in asked.items) > chars
        return refusal if is_longer else None

    return judge


def no_images(message: str, **fields: Any) -> Judge:
    """Refuse images."""

    def judge(asked: Asked) -> Refusal | None:
        found = next(asked.parts("image_url"), None) or next(asked.parts("input_image"), None)
        return Refusal(message=message, **fields) if found else None

    return judge


def no_documents(message: str, **fields: Any) -> Judge:
    """Refuse PDF documents."""

    def judge(asked: Asked) -> Refusal | None:
        found = next(asked.parts("file"), None) or next(asked.parts("input_file"), None)
        return Refusal(message=message, **fields) if found else None

    return judge


def wants_query(name: str, refusal: Refusal) -> Judge:
    """Refuse a URL without a parameter."""

    def judge(asked: Asked) -> Refusal | None:
        return None if f"{name}=" in asked.query else refusal

    return judge


def _calls(asked: Asked) -> Iterator[dict[str, Any]]:
    for item in asked.items:
        yield from calls_of(item)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in a value of JSON."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        yield found
        for member in found.values():
            yield from _objects(member)
    elif isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from _objects(member)
