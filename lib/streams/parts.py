"""The AI SDK's UI message stream, as `useChat` of versions 5, 6 and 7 reads it.

Server-sent events, each the JSON of a part, and at the end `[DONE]`. Strict readers refuse a part
with a field too many, and all refuse an unknown type: so here are only the types that version 5
knows, and metadata goes into `messageMetadata`. To `useChat` a stream that merely ends looks like
success: each must end with `finish`, `abort` or `error`.
Source: AI SDK, "Stream Protocols"; checked against ai 5.0.277, 6.0.326 and 7.0.173.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from lib.conversations.message import Message
from lib.conversations.steps import Step, ToolCall, steps_of

# Where the client comes back for the rest, should it lose the stream: the conversation's id
# (WorkflowChatTransport of @ai-sdk/workflow).
RUN_ID = "x-workflow-run-id"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "x-vercel-ai-ui-message-stream": "v1",
    # No proxy may keep a part back to compress or to collect it.
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


def headers(conversation_id: UUID) -> dict[str, str]:
    """Return the headers of a response that is a stream of a conversation."""
    return HEADERS | {"x-conversation-id": str(conversation_id), RUN_ID: str(conversation_id)}


KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
# What the SDK calls them; a reason that it does not know is fatal to it.
FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "error": "error",
}
START_STEP = b'data: {"type":"start-step"}\n\n'
FINISH_STEP = b'data: {"type":"finish-step"}\n\n'
ABORT = b'data: {"type":"abort"}\n\n'
END_OF_EVENT = b"\n\n"


def part(content: dict[str, Any]) -> bytes:
    """Encode one part as an event."""
    return b"data: " + json.dumps(content, default=str, separators=(",", ":")).encode() + b"\n\n"


def split(parts: bytes) -> list[bytes]:
    """Return the parts that are in a piece of a stream, one by one."""
    return [each + END_OF_EVENT for each in parts.split(END_OF_EVENT)[:-1]]


def contents(parts: bytes) -> Iterator[dict[str, Any]]:
    """Yield what is in the parts of a piece of a stream; `[DONE]` must not be among them."""
    for each in split(parts):
        yield json.loads(each.removeprefix(b"data: "))


def start(message_id: str, conversation_id: object) -> bytes:
    """Begin an answer; the client takes its id from here."""
    metadata = {"conversation_id": conversation_id}
    return part({"type": "start", "messageId": message_id, "messageMetadata": metadata})


def text_start(step: int) -> bytes:
    """Begin the text of a step, by whose number it is named."""
    return f'data: {{"type":"text-start","id":"{step}"}}\n\n'.encode()


def text_delta(step: int, piece: str) -> bytes:
    """Encode a piece of text; by hand, since this is done for each token."""
    return f'data: {{"type":"text-delta","id":"{step}","delta":{json.dumps(piece)}}}\n\n'.encode()


def text_end(step: int) -> bytes:
    """End the text of a step."""
    return f'data: {{"type":"text-end","id":"{step}"}}\n\n'.encode()


def tool_input_start(call_id: str, name: str) -> bytes:
    """Begin a tool call, whose arguments are just being said."""
    return part({"type": "tool-input-start", "toolCallId": call_id, "toolName": name})


def tool_input_delta(call_id: str, piece: str) -> bytes:
    """Encode a piece of a call's arguments."""
    return part({"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": piece})


def tool_input(call: ToolCall) -> bytes:
    """Tell what a tool is called with."""
    named = {"toolCallId": call.id, "toolName": call.name}
    return part({"type": "tool-input-available"} | named | {"input": call.arguments})


def tool_output(call: ToolCall) -> bytes:
    """Tell what came of a call."""
    if call.error is not None:
        outcome = {"type": "tool-output-error", "errorText": call.error}
    else:
        outcome = {"type": "tool-output-available", "output": call.output}
    return part(outcome | {"toolCallId": call.id})


def whole_step(number: int, step: Step) -> bytes:
    """Encode a step that is done."""
    text = text_start(number) + text_delta(number, step.text) + text_end(number)
    calls = [
        tool_input_start(call.id, call.name) + tool_input(call) + tool_output(call)
        for call in step.calls
    ]
    return START_STEP + (text if step.text else b"") + b"".join(calls) + FINISH_STEP


def conversation(conversation_id: object, title: str) -> bytes:
    """Tell the page that its conversation has a new title: `onData` gets it.

    Transient, so it does not become a part of the message, which history would then lack.
    """
    data = {"id": conversation_id, "title": title}
    return part({"type": "data-conversation", "data": data, "transient": True})


def finish(answer: Message) -> bytes:
    """End an answer that is stored, or is about to be: what it tells is known before."""
    if answer.finish_reason == "aborted":
        return ABORT
    reason = FINISH_REASONS.get(answer.client_finish_reason or "", "other")
    return part({"type": "finish", "finishReason": reason, "messageMetadata": answer.ui_metadata()})


def error(text: str) -> bytes:
    """End with a failure, in words for the user."""
    return part({"type": "error", "errorText": text})


def whole(answer: Message) -> bytes:
    """Encode a stored answer as the stream that it once was, in one piece."""
    steps = enumerate(steps_of(answer.content, answer.tool_calls))
    said = b"".join(whole_step(number, step) for number, step in steps)
    opening = start(answer.message_id, answer.conversation_id)
    return opening + (said or START_STEP + FINISH_STEP) + finish(answer) + DONE
