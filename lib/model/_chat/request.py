"""The body of a request to the Chat Completions API."""

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from lib.model._chat.state import text_of
from lib.model._ids import CallIds
from lib.model._shape import with_chat_shape
from lib.model.request import (
    AnswerSchema,
    AssistantMessage,
    Document,
    Image,
    ModelRequest,
    PromptCall,
    PromptMessage,
    SystemMessage,
    ToolDefinition,
    UserMessage,
)


def chat_body(request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request, as JSON."""
    body: dict[str, Any] = {
        "model": request.model.model,
        "messages": chat_messages(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.forced_tool is not None:
        body["tool_choice"] = {"type": "function", "function": {"name": request.forced_tool}}
    elif request.tools and not request.may_call:
        body["tool_choice"] = "none"
    if request.web_search:
        body["web_search_options"] = {}
    if request.schema is not None:
        body["response_format"] = _response_format(request.schema)
    return with_chat_shape(body, request)


def chat_messages(messages: Iterable[PromptMessage]) -> list[dict[str, Any]]:
    """Return messages in the form of the API: a step with calls becomes several."""
    ids = CallIds()
    return [each for message in messages for each in _messages(message, ids)]


def _messages(message: PromptMessage, ids: CallIds) -> Iterator[dict[str, Any]]:
    match message:
        case SystemMessage(text):
            yield {"role": "system", "content": text}
        case UserMessage(content):
            ids.begin_answer()
            yield {"role": "user", "content": _content(content)}
        case AssistantMessage(text, calls, state):
            call_ids = ids.of(calls)
            step: dict[str, Any] = {"role": "assistant", "content": text or None}
            if calls:
                step["tool_calls"] = list(map(_call, calls, call_ids))
            yield step | _own_fields(text, state or {})
            for call, call_id in zip(calls, call_ids, strict=True):
                yield {"role": "tool", "tool_call_id": call_id, "content": call.result}
        case _:
            assert_never(message)


def _own_fields(text: str, state: dict[str, Any]) -> dict[str, Any]:
    """Return the provider's own fields of a step, under their own names (lib/model/_chat/state.py).

    A content that is a list replaces the text, unless it says something else: Parley moves text
    that follows a call into the next step.
    """
    content = state.get("content")
    if content is None or text_of(content) == text:
        return state
    return {name: value for name, value in state.items() if name != "content"}


def _content(content: tuple[str | Image | Document, ...]) -> str | list[dict[str, Any]]:
    """Return content as one text where it is nothing else: some providers take no list."""
    texts = [part for part in content if isinstance(part, str)]
    if len(texts) == len(content):
        return "\n\n".join(texts)
    return [_part(part) for part in content]


def _part(part: str | Image | Document) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Image(url):
            return {"type": "image_url", "image_url": {"url": url}}
        case Document(filename, url):
            return {"type": "file", "file": {"filename": filename, "file_data": url}}
        case _:
            assert_never(part)


def _call(call: PromptCall, call_id: str) -> dict[str, Any]:
    state = call.state or {}
    function: dict[str, Any] = state.get("function") or {}
    function = function | {"name": call.name, "arguments": call.arguments}
    return state | {"id": call_id, "type": "function", "function": function}


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
