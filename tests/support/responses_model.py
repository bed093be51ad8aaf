"""A server of the Responses API with scripted answers, as strict as the strictest.

It speaks real HTTP, and refuses requests by `tests/support/strictest_responses.py`. It streams the
events that OpenAI streams; a test checks them against the types of the package `openai`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, get_args

from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.support.model_server import (
    ANALYSIS_MODEL,
    DEFAULT_PIECES,
    MODEL_NAME,
    TITLE_MODEL,
    Called,
    ConnectionCutError,
)
from tests.support.serving import answer_while_present
from tests.support.strictest_responses import fault_in_body

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Item:
    """An output item of a scripted response.

    Attributes:
        sent: as the server sends it when it is complete.
        pieces: the text, in the pieces that it is streamed in.
    """

    sent: dict[str, Any]
    pieces: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Response:
    """A scripted response to one request.

    Attributes:
        events: the events, in order.
        until: silence until this is set.
        pauses_after: the number of events after which to wait for `until`.
        cuts_after: the number of events after which the connection is cut; None: it is not.
        stays_open: the server sends nothing after the events, but does not close the response.
        status: the HTTP status; any but 200 is an error.
        error: fields of that error.
    """

    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    until: asyncio.Event | None = None
    pauses_after: int = 0
    cuts_after: int | None = None
    stays_open: bool = False
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict[str, Any])


def said(
    *pieces: str, phase: str | None = None, annotations: Sequence[dict[str, Any]] = ()
) -> Item:
    """Return a message, streamed in pieces, with an event for each annotation after them."""
    content: dict[str, Any] = {"type": "output_text", "text": "".join(pieces)}
    content |= {"annotations": [*annotations], "logprobs": []}
    return _message(content, pieces, {"phase": phase} if phase else {})


def refused(*pieces: str) -> Item:
    """Return a message that refuses, streamed in pieces."""
    return _message({"type": "refusal", "refusal": "".join(pieces)}, pieces, {})


def thought(*summary: str, **fields: Any) -> Item:
    """Return reasoning: its summary in parts, and all of it encrypted."""
    number = next(_numbers)
    item: dict[str, Any] = {
        "id": f"rs_{number}",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        "encrypted_content": f"gAAAAAB+/pr9uWc{number}==",
    }
    return Item(item | fields)


def called(call: Called) -> Item:
    """Return a tool call."""
    arguments = call.arguments
    item = {
        "id": f"fc_{next(_numbers)}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
    }
    return Item(item)


def searched(query: str, *, status: str = "completed", sources: Sequence[str] = ()) -> Item:
    """Return a search of the web that the server has made itself."""
    action: dict[str, Any] = {"type": "search", "query": query}
    if sources:
        action["sources"] = [{"type": "url", "url": url} for url in sources]
    number = next(_numbers)
    item = {"id": f"ws_{number}", "type": "web_search_call", "status": status, "action": action}
    return Item(item)


def responding(*items: Item, ends_with: str = "completed", **fields: Any) -> Response:
    """Return the response that streams items.

    Args:
        items: by the functions above; without any, a greeting.
        ends_with: the last event: completed, incomplete or failed; '' if there is none.
        fields: of the response that the last event brings, such as `error`.
    """
    script = items or (said(*DEFAULT_PIECES),)
    output = [item.sent for item in script]
    events = [{"type": "response.created", "response": _response("in_progress")}]
    events += [{"type": "response.in_progress", "response": _response("in_progress")}]
    for index, item in enumerate(script):
        events += _item_events(index, item)
    if ends_with:
        last = _response(ends_with, output=output, usage=_usage(len(events)), **fields)
        events.append({"type": f"response.{ends_with}", "response": last})
    return Response(events=numbered(events))


def incomplete(*items: Item, reason: str) -> Response:
    """Return a response that ends before the model was done."""
    details = {"reason": reason}
    return responding(*items, ends_with="incomplete", incomplete_details=details)


def failed(*items: Item, code: str = "server_error") -> Response:
    """Return a response that fails after some items."""
    error = {"code": code, "message": "sk-secret says: the provider's own words"}
    response = responding(*items, ends_with="failed", error=error)
    return response if items else Response(events=[*response.events[:2], response.events[-1]])


def numbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events in the order of a stream."""
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def check_events(events: list[dict[str, Any]]) -> None:
    """Check that events are as the package `openai` describes them."""
    for event in events:
        EVENT_TYPES[event["type"]].model_validate(event)


def _event_types() -> dict[str, type[BaseModel]]:
    union, *_ = get_args(ResponseStreamEvent)
    return {get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(union)}


EVENT_TYPES = _event_types()


class ResponsesModel:
    """An ASGI app that plays the provider.

    Attributes:
        replies: the responses to the next requests for answers; then a greeting.
        title_reply: the response to each request for a title.
        analysis_reply: the response to each request for an analysis.
        requests: the bodies of the requests for answers, oldest first.
        title_requests: the bodies of the requests for titles.
        analysis_requests: the bodies of the requests for analyses.
        faults: why requests were refused.
        left: the number of clients that left before their response was complete.
        base_url: set by the fixture that serves it.
    """

    def __init__(self) -> None:
        """Begin with nothing scripted."""
        self.replies: list[Response] = []
        self.title_reply = Response(status=404)
        self.analysis_reply = Response(status=404)
        self.requests: list[dict[str, Any]] = []
        self.title_requests: list[dict[str, Any]] = []
        self.analysis_requests: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.left = 0
        self.base_url = ""
        self._outputs: list[list[dict[str, Any]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        body = await request.json()
        if (request.method, request.url.path) != ("POST", "/v1/responses"):
            self.faults.append(f"{request.method} {request.url.path}")
            await JSONResponse({}, 404)(scope, receive, send)
            return
        answer = self._answer(body, scope, receive, send)
        if not await answer_while_present(answer, receive):
            self.left += 1

    def _response_to(self, body: dict[str, Any]) -> Response:
        if body["model"] == TITLE_MODEL:
            self.title_requests.append(body)
            return self.title_reply
        if body["model"] == ANALYSIS_MODEL:
            self.analysis_requests.append(body)
            return self.analysis_reply
        self.requests.append(body)
        return self.replies.pop(0) if self.replies else responding()

    async def _answer(
        self, body: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        fault = fault_in_body(body, self._outputs)
        response = self._response_to(body)
        if fault is not None or response.status != 200:
            self.faults += [fault] if fault else []
            error = {"message": fault or "sk-secret", "type": "invalid_request_error", "code": None}
            error |= {} if fault else response.error
            status = 400 if fault else response.status
            await JSONResponse({"error": error}, status)(scope, receive, send)
            return
        self._outputs += [
            [event["item"] for event in response.events if event["type"].endswith("item.done")]
        ]
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in _stream(response):
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _stream(response: Response) -> AsyncIterator[bytes]:
    for number, event in enumerate(response.events):
        if number == response.cuts_after:
            raise ConnectionCutError
        if number == response.pauses_after and response.until is not None:
            await response.until.wait()
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    if response.stays_open:
        await asyncio.Event().wait()


def _message(content: dict[str, Any], pieces: tuple[str, ...], fields: dict[str, Any]) -> Item:
    item = {
        "id": f"msg_{next(_numbers)}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }
    return Item(item | fields, pieces)


def _item_events(index: int, item: Item) -> Iterator[dict[str, Any]]:
    sent = item.sent
    empty: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "reasoning": {"summary": []},
        "web_search_call": {},
        "image_generation_call": {"result": None},
    }
    begun = sent | {"status": "in_progress"} | empty.get(sent["type"], {"arguments": ""})
    place = {"output_index": index}
    yield {"type": "response.output_item.added", "item": begun} | place
    place |= {"item_id": sent["id"]}
    match sent["type"]:
        case "message":
            yield from _message_events(item, place)
        case "reasoning":
            yield from _reasoning_events(sent, place)
        case "web_search_call":
            for state in ("in_progress", "searching", "completed"):
                yield {"type": f"response.web_search_call.{state}"} | place
        case "function_call":
            yield from _call_events(sent, place)
        case _:
            yield {"type": "response.image_generation_call.completed"} | place
    yield {"type": "response.output_item.done", "item": sent, "output_index": index}


def _message_events(item: Item, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    [part] = item.sent["content"]
    name = {"output_text": "text", "refusal": "refusal"}[part["type"]]
    extra: dict[str, Any] = {"logprobs": []} if name == "text" else {}
    place |= {"content_index": 0}
    empty = part | {name: ""} | ({"annotations": []} if name == "text" else {})
    yield {"type": "response.content_part.added", "part": empty} | place
    for piece in item.pieces:
        # OpenAI hides the lengths of the pieces from eavesdroppers.
        delta = {"delta": piece, "obfuscation": "wnq1"}
        yield {"type": f"response.{part['type']}.delta"} | delta | extra | place
    for number, annotation in enumerate(part.get("annotations", [])):
        added = {"annotation": annotation, "annotation_index": number}
        yield {"type": "response.output_text.annotation.added"} | added | place
    yield {"type": f"response.{part['type']}.done", name: part[name]} | extra | place
    yield {"type": "response.content_part.done", "part": part} | place


def _reasoning_events(item: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = "response.reasoning_summary"
    for index, part in enumerate(item["summary"]):
        where = place | {"summary_index": index}
        empty = {"type": "summary_text", "text": ""}
        yield {"type": f"{kind}_part.added", "part": empty} | where
        yield {"type": f"{kind}_text.delta", "delta": part["text"]} | where
        yield {"type": f"{kind}_text.done", "text": part["text"]} | where
        yield {"type": f"{kind}_part.done", "part": part} | where


def _call_events(item: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind, arguments = "response.function_call_arguments", item["arguments"]
    half = len(arguments) // 2
    yield {"type": f"{kind}.delta", "delta": arguments[:half]} | place
    yield {"type": f"{kind}.delta", "delta": arguments[half:]} | place
    yield {"type": f"{kind}.done", "arguments": arguments, "name": item["name"]} | place


def _response(status: str, **fields: Any) -> dict[str, Any]:
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": MODEL_NAME,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }
    return response | fields


def _usage(output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7 + output_tokens,
    }
