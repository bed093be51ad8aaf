"""The body of a request to the Responses API.

The form of each item is the one that the most servers accept. Sources are their validators (vLLM,
llama.cpp) and the reports of their users; `tests/support/strictest_responses.py` states the rules.
"""

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from lib.model._ids import CallIds
from lib.model._shape import with_responses_shape
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

# The type of the provider's own tool.
WEB_SEARCH = "web_search"


def responses_body(request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request, as JSON.

    The provider stores nothing. Instead it sends the model's reasoning, encrypted, and gets it back
    with the next request.
    """
    body: dict[str, Any] = {
        "model": request.model.model,
        "input": input_items(request.messages),
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    tools = [_tool(tool) for tool in request.tools]
    if request.web_search:
        tools.append({"type": WEB_SEARCH})
    if tools:
        body["tools"] = tools
    if request.forced_tool is not None:
        body["tool_choice"] = {"type": "function", "name": request.forced_tool}
    elif request.tools and not request.may_call:
        body["tool_choice"] = "none"
    if request.schema is not None:
        body["text"] = {"format": _format(request.schema)}
    return with_responses_shape(body, request)


def input_items(messages: Iterable[PromptMessage]) -> list[dict[str, Any]]:
    """Return messages as the items of the API: a step of an answer becomes several."""
    ids = CallIds()
    return [
        item for number, message in enumerate(messages) for item in _items(number, message, ids)
    ]


def _items(number: int, message: PromptMessage, ids: CallIds) -> Iterator[dict[str, Any]]:
    match message:
        case SystemMessage(text):
            # An item, because LM Studio and others drop the field `instructions` without a word,
            # and x.ai refuses it. `system`, because chat templates know no `developer`; OpenAI
            # takes both for the same.
            yield {"type": "message", "role": "system", "content": text}
        case UserMessage(content):
            ids.begin_answer()
            yield {"type": "message", "role": "user", "content": _content(content)}
        case AssistantMessage(text, calls, state):
            call_ids = ids.of(calls)
            own_items = _own_items(state, call_ids)
            yield from own_items or _portable_items(number, text, calls, call_ids)
            for call_id, call in zip(call_ids, calls, strict=True):
                yield {"type": "function_call_output", "call_id": call_id, "output": call.result}
        case _:
            assert_never(message)


def _content(content: tuple[str | Image | Document, ...]) -> str | list[dict[str, Any]]:
    """Return content as one text where it is nothing else."""
    texts = [part for part in content if isinstance(part, str)]
    if len(texts) == len(content):
        return "\n\n".join(texts)
    return [_part(part) for part in content]


def _part(part: str | Image | Document) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "input_text", "text": part}
        case Image(url):
            # vLLM refuses an image without `detail`.
            return {"type": "input_image", "image_url": url, "detail": "auto"}
        case Document(filename, url):
            return {"type": "input_file", "filename": filename, "file_data": url}
        case _:
            assert_never(part)


def _own_items(state: dict[str, Any] | None, call_ids: list[str]) -> list[dict[str, Any]] | None:
    """Return the items of a step as the provider sent them (lib/model/_responses/stream.py).

    None if the step has none, or other calls than they have: the provider refuses a result without
    its call, and a call without its result.
    """
    if state is None or "items" not in state:
        return None
    items: list[dict[str, Any]] = state["items"]
    if [item.get("call_id") for item in items if item["type"] == "function_call"] != call_ids:
        return None
    return [_accepted(item) for item in items]


def _accepted(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without the field that OpenAI sends, but refuses to get back."""
    if item["type"] != "reasoning":
        return item
    return {name: value for name, value in item.items() if name != "status"}


def _portable_items(
    number: int, text: str, calls: tuple[PromptCall, ...], call_ids: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the items of a step that another model may have taken."""
    if text:
        yield {
            "type": "message",
            # vLLM, OpenRouter and Azure refuse an assistant's message without `id`, `status` and
            # `annotations`. OpenAI takes any id that begins with `msg_`, but each only once.
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }
    for call_id, call in zip(call_ids, calls, strict=True):
        # Without an `id`: OpenAI knows by it which reasoning belongs to the call, and refuses the
        # call without that.
        yield {
            "type": "function_call",
            "call_id": call_id,
            "name": call.name,
            "arguments": call.arguments,
        }


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    # Not strict, which is the API's default here: it refuses schemas with optional properties.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": False,
    }


def _format(schema: AnswerSchema) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "name": schema.name,
        "schema": schema.schema,
        "strict": schema.is_strict,
    }
