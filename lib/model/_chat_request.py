"""The body of a request to the Chat Completions API."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from lib.model.request import (
    AnswerSchema,
    AssistantMessage,
    Image,
    ModelRequest,
    PromptCall,
    PromptMessage,
    SystemMessage,
    ToolDefinition,
    UserMessage,
)

# Mistral takes no other length. Every provider takes letters and digits.
ID_CHARS = 9


def chat_body(request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request, as JSON."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": chat_messages(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.forced_tool is not None:
        body["tool_choice"] = {"type": "function", "function": {"name": request.forced_tool}}
    elif not request.may_call:
        body["tool_choice"] = "none"
    if request.schema is not None:
        body["response_format"] = _response_format(request.schema)
    return body


def chat_messages(messages: Iterable[PromptMessage]) -> list[dict[str, Any]]:
    """Return messages in the form of the API: a step with calls becomes several."""
    return [each for message in messages for each in _messages(message)]


def _messages(message: PromptMessage) -> Iterator[dict[str, Any]]:
    match message:
        case SystemMessage(text):
            yield {"role": "system", "content": text}
        case UserMessage(content):
            yield {"role": "user", "content": _content(content)}
        case AssistantMessage(text, calls, state):
            step: dict[str, Any] = {"role": "assistant", "content": text or None}
            if calls:
                step["tool_calls"] = [_call(call) for call in calls]
            # The provider's own fields, under their own names (lib/model/_chat_stream.py).
            yield step | (state or {})
            for call in calls:
                yield {"role": "tool", "tool_call_id": _id_of(call), "content": call.result}
        case _:
            assert_never(message)


def _content(content: tuple[str | Image, ...]) -> str | list[dict[str, Any]]:
    """Return content as one text where it is nothing else: some providers take no list."""
    texts = [part for part in content if isinstance(part, str)]
    if len(texts) == len(content):
        return "\n\n".join(texts)
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.url}}
        for part in content
    ]


def _call(call: PromptCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return (call.state or {}) | {"id": _id_of(call), "type": "function", "function": function}


def _id_of(call: PromptCall) -> str:
    """Return the provider's id of a call, or an id that every provider takes."""
    return (call.state or {}).get("id") or portable_id(call.id)


def portable_id(call_id: str) -> str:
    """Return an id that every provider takes; the same for the same call."""
    return hashlib.sha256(call_id.encode()).hexdigest()[:ID_CHARS]


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _response_format(schema: AnswerSchema) -> dict[str, Any]:
    json_schema: dict[str, Any] = {"name": schema.name, "schema": schema.schema}
    if schema.is_strict:
        json_schema["strict"] = True
    return {"type": "json_schema", "json_schema": json_schema}
