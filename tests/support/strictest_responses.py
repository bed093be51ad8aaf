"""The requests to the Responses API that the strictest servers accept, all their rules at once.

OpenAI refuses items that miss their neighbour, and fields that it does not know; vLLM, OpenRouter,
Azure and llama.cpp refuse items that miss a field. Each rule stands for a 400 that users reported.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from openai.types.responses import (
    EasyInputMessageParam,
    FunctionToolParam,
    ResponseFormatTextJSONSchemaConfigParam,
    ResponseFunctionToolCallParam,
    ResponseFunctionWebSearchParam,
    ResponseInputFileParam,
    ResponseInputImageParam,
    ResponseInputTextParam,
    ResponseOutputMessageParam,
    ResponseOutputTextParam,
    ResponseReasoningItemParam,
    ToolChoiceFunctionParam,
    WebSearchToolParam,
)
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_input_item_param import FunctionCallOutput

MAX_ID_CHARS = 64
# The kinds of items that may follow a kind; None: the beginning or the end of the input.
NEXT_KINDS: dict[str | None, set[str | None]] = {
    None: {"system", "user"},
    "system": {"user"},
    "user": {"reasoning", "assistant", "function_call", "web_search_call", None},
    "reasoning": {"reasoning", "assistant", "function_call", "web_search_call"},
    "web_search_call": {"reasoning", "assistant", "function_call", "web_search_call"},
    "assistant": {"assistant", "reasoning", "function_call", "web_search_call", "user"},
    "function_call": {"function_call", "reasoning", "assistant", "function_call_output"},
    "function_call_output": {
        "function_call_output",
        "reasoning",
        "assistant",
        "function_call",
        None,
    },
}
# Fields that an item may have (by the package's types), and those that it must have.
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "system": ({*EasyInputMessageParam.__annotations__}, {"type", "role", "content"}),
    "user": ({*EasyInputMessageParam.__annotations__}, {"type", "role", "content"}),
    "assistant": (
        {*ResponseOutputMessageParam.__annotations__},
        {"type", "role", "content", "id", "status"},
    ),
    # The package's type has `status`, but OpenAI does not know it there.
    "reasoning": (
        {*ResponseReasoningItemParam.__annotations__} - {"status"},
        {"type", "id", "summary"},
    ),
    "function_call": (
        {*ResponseFunctionToolCallParam.__annotations__},
        {"type", "call_id", "name", "arguments"},
    ),
    "function_call_output": (
        {*FunctionCallOutput.__annotations__},
        {"type", "call_id", "output"},
    ),
    "input_text": ({*ResponseInputTextParam.__annotations__}, {"type", "text"}),
    "input_image": (
        {*ResponseInputImageParam.__annotations__},
        {"type", "image_url", "detail"},
    ),
    "input_file": (
        {*ResponseInputFileParam.__annotations__},
        {"type", "filename", "file_data"},
    ),
    "output_text": (
        {*ResponseOutputTextParam.__annotations__},
        {"type", "text", "annotations"},
    ),
    "refusal": ({"type", "refusal"}, {"type", "refusal"}),
    "function": (
        {*FunctionToolParam.__annotations__},
        {"type", "name", "description", "parameters", "strict"},
    ),
    "web_search": ({*WebSearchToolParam.__annotations__}, {"type"}),
    "web_search_call": (
        {*ResponseFunctionWebSearchParam.__annotations__},
        {"type", "id", "status", "action"},
    ),
    "tool_choice": ({*ToolChoiceFunctionParam.__annotations__}, {"type", "name"}),
    "json_schema": (
        {*ResponseFormatTextJSONSchemaConfigParam.__annotations__},
        {"type", "name", "schema"},
    ),
    "body": (
        {*ResponseCreateParamsBase.__annotations__, "stream"},
        {"model", "input", "stream", "store", "include"},
    ),
}
ID_PREFIXES = {"assistant": "msg_", "function_call": "fc_", "reasoning": "rs_"} | {
    "web_search_call": "ws_"
}


def fault_in_body(body: dict[str, Any], outputs: Iterable[list[dict[str, Any]]]) -> str | None:
    """Return why the strictest server refuses a request; None: it accepts it.

    Args:
        body: the request.
        outputs: the output items of each response that the server has made so far.
    """
    faults = [*_field_faults("body", body)]
    if not faults and (body["store"], body["include"]) != (False, ["reasoning.encrypted_content"]):
        faults.append("the server would store the response, or not return what it needs again")
    for tool in body.get("tools", []):
        faults += _field_faults(tool.get("type", "function"), tool)
    if "tool_choice" in body and "tools" not in body:
        faults.append("tool_choice without tools")
    match body.get("tool_choice", "auto"):
        case "auto" | "none":
            pass
        case choice:
            faults += _field_faults("tool_choice", choice)
            if choice["name"] not in [tool.get("name") for tool in body.get("tools", [])]:
                faults.append(f"tool_choice is {choice['name']}, which is no tool")
    if "text" in body:
        faults += _field_faults("json_schema", body["text"]["format"])
    return faults[0] if faults else fault_in_input(body["input"], outputs)


def fault_in_input(
    items: list[dict[str, Any]], outputs: Iterable[list[dict[str, Any]]]
) -> str | None:
    """Return why the strictest server refuses the input; None: it accepts it."""
    faults = (*_item_faults(items), *_order_faults(items), *_call_faults(items))
    return next(iter(faults), None) or next(_neighbour_faults(items, outputs), None)


def kind_of(item: dict[str, Any]) -> str:
    """Return the role of a message, or the type of another item."""
    return item["role"] if item.get("type") == "message" else item.get("type", "untyped")


def _field_faults(kind: str, fields: dict[str, Any]) -> Iterator[str]:
    allowed, required = FIELDS.get(kind, (set[str](), set[str]()))
    if unknown := fields.keys() - allowed:
        yield f"Unknown parameter: {sorted(unknown)} of {kind}"
    if missing := required - fields.keys():
        yield f"Missing required parameter: {sorted(missing)} of {kind}"


def _item_faults(items: list[dict[str, Any]]) -> Iterator[str]:
    seen = set[str]()
    for item in items:
        kind = kind_of(item)
        yield from _field_faults(kind, item)
        content: str | list[dict[str, Any]] | None = item.get("content")
        if isinstance(content, str) and not content.strip():
            yield f"blank {kind}"
        if isinstance(content, list) and kind != "reasoning":
            yield from _part_faults(kind, content)
        if (item_id := item.get("id")) is not None:
            if not item_id.startswith(ID_PREFIXES[kind]) or len(item_id) > MAX_ID_CHARS:
                yield f"Invalid id {item_id} of {kind}"
            if item_id in seen:
                yield f"Duplicate item found with id {item_id}"
            seen.add(item_id)
        if kind == "reasoning" and not (item.get("encrypted_content") or item.get("content")):
            yield f"Item with id {item['id']} not found, because store is false"


def _part_faults(kind: str, parts: list[dict[str, Any]]) -> Iterator[str]:
    if not parts:
        yield f"no content of {kind}"
    types = {
        "assistant": {"output_text", "refusal"},
        "user": {"input_text", "input_image", "input_file"},
    }
    for part in parts:
        yield from _field_faults(part["type"], part)
        if part["type"] not in types.get(kind, {"input_text"}):
            yield f"{part['type']} in {kind}"
        if not part.get("text", part.get("refusal", "an image")).strip():
            yield f"blank part of {kind}"


def _order_faults(items: list[dict[str, Any]]) -> Iterator[str]:
    kinds = [None, *(kind_of(item) for item in items), None]
    for position, kind in enumerate(kinds[:-1]):
        if kinds[position + 1] not in NEXT_KINDS[kind]:
            yield f"{kinds[position + 1]} after {kind} at {position}"


def _call_faults(items: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the faults of calls: each needs one result, after all calls of its step, in order."""
    waiting: list[str] = []
    for item in items:
        kind = kind_of(item)
        if kind == "function_call":
            waiting.append(item["call_id"])
            if not 0 < len(item["call_id"]) <= MAX_ID_CHARS:
                yield f"Invalid call_id {item['call_id']}"
            if not isinstance(json.loads(item["arguments"]), dict):
                yield "arguments are no object"
        elif kind == "function_call_output":
            if not waiting or item["call_id"] != waiting.pop(0):
                yield f"No tool call found for function call output {item['call_id']}"
        elif kind in ("system", "user") and waiting:
            break
    if waiting:
        yield f"No tool output found for function call {waiting[0]}"


def _neighbour_faults(
    items: list[dict[str, Any]], outputs: Iterable[list[dict[str, Any]]]
) -> Iterator[str]:
    """Yield the faults of items that the server has made: it knows their neighbours."""
    made = {item["id"]: (item, output) for output in outputs for item in output}
    positions = {item["id"]: position for position, item in enumerate(items) if "id" in item}
    for item_id, position in positions.items():
        if item_id not in made:
            if kind_of(items[position]) == "reasoning":
                yield f"Item with id {item_id} is of another server"
            continue
        item, output = made[item_id]
        if {**item, "status": None} != {**items[position], "status": None}:
            yield f"The encrypted content of {item_id} could not be verified"
        at = output.index(item)
        if kind_of(item) == "reasoning" and not _stands(output[at + 1 :][:1], items, position + 1):
            yield f"{item_id} was provided without its required following item"
        earlier = output[at - 1] if at else None
        if (
            earlier
            and kind_of(earlier) == "reasoning"
            and not _stands([earlier], items, position - 1)
        ):
            yield f"{item_id} was provided without its required 'reasoning' item {earlier['id']}"


def _stands(wanted: list[dict[str, Any]], items: list[dict[str, Any]], position: int) -> bool:
    return [item.get("id") for item in items[position : position + 1]] == [
        item["id"] for item in wanted
    ]
