"""OpenAI's Responses API: how it streams an answer, and the requests that it refuses."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.support.images import png
from tests.zoo.asked import DRAW, Answer, Asked, halves, objects_in, pieces_of, sealed
from tests.zoo.refusals import Refusal
from tests.zoo.streams import MODEL_NAME, Event, Pause

ENCRYPTED = "reasoning.encrypted_content"
CHAT_PARAMETERS = {
    "messages": "input",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "max_tokens": "max_output_tokens",
    "stream_options": "stream",
}


def response_events(asked: Asked, answer: Answer) -> list[Event]:
    """Return an answer as OpenAI streams it."""
    events = [*_events(asked, answer)]
    return [
        event if isinstance(event, Pause) else _named(event | {"sequence_number": number})
        for number, event in enumerate(events)
    ]


def _named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _events(asked: Asked, answer: Answer) -> Iterator[dict[str, Any] | Pause]:
    output: list[dict[str, Any]] = []
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "model": MODEL_NAME,
        "output": [],
    }
    yield {"type": "response.created", "response": response | {"status": "in_progress"}}
    yield {"type": "response.in_progress", "response": response | {"status": "in_progress"}}
    if answer.thought:
        reasoning = reasoning_item(answer.key, answer.thought)
        if ENCRYPTED not in (asked.body.get("include") or []):
            del reasoning["encrypted_content"]
        yield from _reasoning(reasoning, answer.thought)
        output.append(reasoning)
    if asked.question.startswith(DRAW):
        drawn = _drawn()
        yield _added(drawn | {"status": "in_progress", "result": None}, len(output))
        yield _done(drawn, len(output))
        output.append(drawn)
    at = len(output)
    if answer.call is None:
        message = _message(answer)
        yield from _text(message, at, answer)
        output.append(message)
    else:
        call = _call(answer)
        yield from _arguments(call, at, answer.call.arguments)
        output.append(call)
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    done = response | {"status": "completed", "output": output, "usage": usage}
    yield {"type": "response.completed", "response": done}


def reasoning_item(key: str, thought: str) -> dict[str, Any]:
    """Return the item of a thought."""
    return {
        "id": f"rs_{sealed(key)[:20]}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": thought}],
        "encrypted_content": sealed(f"{key} {thought}"),
    }


def _message(answer: Answer) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "output_text",
        "text": answer.text,
        "annotations": [],
        "logprobs": [],
    }
    return {
        "id": f"msg_{sealed(answer.key)[:20]}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "phase": "final_answer",
        "content": [part],
    }


def _drawn() -> dict[str, Any]:
    picture = base64.b64encode(png(3, 2)).decode()
    item = {"id": "ig_1", "type": "image_generation_call", "status": "completed"}
    return item | {"output_format": "png", "result": picture}


def _call(answer: Answer) -> dict[str, Any]:
    assert answer.call is not None
    return {
        "id": f"fc_{sealed(answer.key)[:20]}",
        "type": "function_call",
        "status": "completed",
        "call_id": answer.call.id,
        "name": "add_task",
        "arguments": answer.call.arguments,
    }


def _reasoning(item: dict[str, Any], thought: str) -> Iterator[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    part = "response.reasoning_summary"
    yield _added(item | {"summary": []}, 0)
    yield {"type": f"{part}_part.added", "part": {"type": "summary_text", "text": ""}} | at
    for piece in pieces_of(thought):
        yield {"type": f"{part}_text.delta", "delta": piece} | at
    yield {"type": f"{part}_text.done", "text": thought} | at
    yield {"type": f"{part}_part.done", "part": {"type": "summary_text", "text": thought}} | at
    yield _done(item, 0)


def _text(item: dict[str, Any], index: int, answer: Answer) -> Iterator[dict[str, Any] | Pause]:
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    [part] = item["content"]
    yield _added(item | {"status": "in_progress", "content": []}, index)
    yield {"type": "response.content_part.added", "part": part | {"text": ""}} | at
    for number, piece in enumerate(pieces_of(answer.text)):
        if number == answer.waits_after:
            yield Pause.UNTIL_GO
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | at
    yield {"type": "response.output_text.done", "text": answer.text, "logprobs": []} | at
    yield {"type": "response.content_part.done", "part": part} | at
    yield _done(item, index)


def _arguments(item: dict[str, Any], index: int, arguments: str) -> Iterator[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": index}
    part = "response.function_call_arguments"
    yield _added(item | {"status": "in_progress", "arguments": ""}, index)
    for half in halves(arguments):
        yield {"type": f"{part}.delta", "delta": half} | at
    yield {"type": f"{part}.done", "arguments": arguments, "name": "add_task"} | at
    yield _done(item, index)


def _added(item: dict[str, Any], index: int) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(item: dict[str, Any], index: int) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def no_chat_parameters(asked: Asked) -> Refusal | None:
    """Refuse the parameters of the other dialect."""
    for name, moved in CHAT_PARAMETERS.items():
        # `stream_options` exists, but has another option.
        if name in asked.body and name != "stream_options":
            words = (
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved "
                f"to '{moved}'. Try again with the new parameter."
            )
            return Refusal(message=words, param=name, code="unsupported_parameter")
    for number, tool in enumerate(objects_in(asked.body, "tools")):
        if "name" not in tool:
            words = f"Missing required parameter: 'tools[{number}].name'."
            param = f"tools[{number}].name"
            return Refusal(message=words, param=param, code="missing_required_parameter")
    return None


def wants_no_store(asked: Asked) -> Refusal | None:
    """Refuse a request that would be stored, as organizations without data retention do."""
    if asked.body.get("store") is False:
        return None
    words = "store must be false for organizations with Zero Data Retention enabled."
    return Refusal(message=words, param="store")


def items_with_neighbours(asked: Asked) -> Refusal | None:
    """Refuse a thought without the item that followed it, and the reverse."""
    items = asked.items
    given = {_partner(reasoning_item(each.key, "")) for each in asked.issued.values()}
    for item, after in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") == "reasoning" and not _belongs(after, item):
            words = (
                f"Item '{item.get('id')}' of type 'reasoning' was provided without its required "
                "following item."
            )
            return Refusal(message=words, param="input")
    for before, item in zip([{}, *items], items, strict=False):
        own = item.get("id", "")
        if (
            _partner(item) in given
            and "encrypted_content" not in item
            and not _belongs(item, before)
        ):
            words = (
                f"Item '{own}' of type '{item.get('type')}' was provided without its required "
                f"'reasoning' item: 'rs_{_partner(item)}'."
            )
            return Refusal(message=words, param="input")
    return None


def _belongs(after: dict[str, Any], thought: dict[str, Any]) -> bool:
    """Return whether an item may follow a thought; one without an id is not compared."""
    is_output = after.get("type") == "function_call" or after.get("role") == "assistant"
    return is_output and ("id" not in after or _partner(after) == _partner(thought))


def _partner(item: dict[str, Any]) -> str:
    """Return the part of an item's id that an answer's items have in common."""
    return item.get("id", "").partition("_")[2]


def reasoning_unchanged(asked: Asked) -> Refusal | None:
    """Refuse a thought without its encrypted content, or with another one."""
    given = {
        item["id"]: item
        for answer in asked.issued.values()
        if (item := reasoning_item(answer.key, answer.thought))
    }
    for item in asked.items:
        if item.get("type") != "reasoning":
            continue
        if not item.get("encrypted_content"):
            words = (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` "
                "is set to false. Try again with `store` set to true, or remove this item from "
                "your input."
            )
            return Refusal(message=words, param="input", status=404)
        if item != given.get(item.get("id", "")):
            words = (
                f"The encrypted content for item {item.get('id')} could not be verified. Reason: "
                "Encrypted content could not be decrypted or parsed."
            )
            return Refusal(message=words, code="invalid_encrypted_content")
    return None


def outputs_with_calls(asked: Asked) -> Refusal | None:
    """Refuse a call without its output, and the reverse."""
    called: set[str] = set()
    for item in asked.items:
        if item.get("type") == "function_call":
            called.add(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in called:
                words = (
                    f"No tool call found for function call output with call_id {item['call_id']}."
                )
                return Refusal(message=words, param="input")
            called.remove(item["call_id"])
    for call_id in sorted(called):
        return Refusal(message=f"No tool output found for function call {call_id}.", param="input")
    return None
