"""The AI SDK's UI message stream, as `useChat` of versions 5, 6 and 7 reads it.

The stream is server-sent events, each the JSON of one part, and `[DONE]` at the end. All readers
refuse an unknown type, and strict ones an unknown field, so this module uses only the types of
version 5, and metadata goes into `messageMetadata`. useChat takes a stream that merely ends for a
success, so each ends with `finish`, `abort` or `error`.
Source: AI SDK, "Stream Protocols"; checked against ai 5.0.277, 6.0.326 and 7.0.173.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from lib.conversations.message import FinishReason, Message
from lib.conversations.steps import Step, ToolCall, steps_of

# The conversation's id: WorkflowChatTransport of @ai-sdk/workflow uses it to resume a lost stream.
RUN_ID = "x-workflow-run-id"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "x-vercel-ai-ui-message-stream": "v1",
    # Keep proxies from holding parts back to compress or to collect them.
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


def headers(conversation_id: UUID) -> dict[str, str]:
    """Return the headers of a stream in this conversation."""
    return HEADERS | {"x-conversation-id": str(conversation_id), RUN_ID: str(conversation_id)}


KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
# The SDK's names. An unknown reason makes it fail, so the others become `other`.
FINISH_REASONS: dict[FinishReason | None, str] = {
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
    """Split a piece of a stream into its parts."""
    return [event + END_OF_EVENT for event in parts.split(END_OF_EVENT)[:-1]]


def contents(parts: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a piece of a stream, which must not contain `[DONE]`."""
    for event in split(parts):
        yield json.loads(event.removeprefix(b"data: "))


def start(message_id: str, conversation_id: object) -> bytes:
    """Begin an answer; clients take its id from this part."""
    metadata = {"conversation_id": conversation_id}
    return part({"type": "start", "messageId": message_id, "messageMetadata": metadata})


def text_start(step: int) -> bytes:
    """Begin the text of a step; the step's number is the text's id."""
    return f'data: {{"type":"text-start","id":"{step}"}}\n\n'.encode()


def text_delta(step: int, piece: str) -> bytes:
    """Encode a piece of text; without `part`, because every token comes through here."""
    return f'data: {{"type":"text-delta","id":"{step}","delta":{json.dumps(piece)}}}\n\n'.encode()


def text_end(step: int) -> bytes:
    """End the text of a step."""
    return f'data: {{"type":"text-end","id":"{step}"}}\n\n'.encode()


def tool_input_start(call_id: str, name: str) -> bytes:
    """Begin a tool call whose arguments are still to come."""
    return part({"type": "tool-input-start", "toolCallId": call_id, "toolName": name})


def tool_input_delta(call_id: str, piece: str) -> bytes:
    """Encode a piece of a call's arguments."""
    return part({"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": piece})


def tool_input(call: ToolCall) -> bytes:
    """Encode the complete arguments of a call."""
    return part(
        {
            "type": "tool-input-available",
            "toolCallId": call.id,
            "toolName": call.name,
            "input": call.arguments,
        }
    )


def tool_output(call: ToolCall) -> bytes:
    """Encode the outcome of a call."""
    if call.error is not None:
        outcome = {"type": "tool-output-error", "errorText": call.error}
    else:
        outcome = {"type": "tool-output-available", "output": call.output}
    return part(outcome | {"toolCallId": call.id})


def complete_step(number: int, step: Step) -> bytes:
    """Encode a step that is over, in one piece."""
    text = text_start(number) + text_delta(number, step.text) + text_end(number)
    calls = [
        tool_input_start(call.id, call.name) + tool_input(call) + tool_output(call)
        for call in step.calls
    ]
    return START_STEP + (text if step.text else b"") + b"".join(calls) + FINISH_STEP


def conversation(conversation_id: object, title: str) -> bytes:
    """Encode a conversation's new title, which the page gets in `onData`.

    The part is transient: the message does not keep it, because history does not have it either.
    """
    data = {"id": conversation_id, "title": title}
    return part({"type": "data-conversation", "data": data, "transient": True})


def finish(answer: Message) -> bytes:
    """End an answer that has no failure, before or after it is stored."""
    if answer.finish_reason == "aborted":
        return ABORT
    reason = FINISH_REASONS.get(answer.client_finish_reason, "other")
    return part({"type": "finish", "finishReason": reason, "messageMetadata": answer.ui_metadata()})


def error(text: str) -> bytes:
    """End an answer with a failure, in words for the user."""
    return part({"type": "error", "errorText": text})


def complete_answer(answer: Message) -> bytes:
    """Encode a stored answer as a stream, in one piece."""
    numbered_steps = enumerate(steps_of(answer.content, answer.tool_calls))
    steps = b"".join(complete_step(number, step) for number, step in numbered_steps)
    opening = start(answer.message_id, answer.conversation_id)
    return opening + (steps or START_STEP + FINISH_STEP) + finish(answer) + DONE
