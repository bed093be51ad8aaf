"""The AI SDK's UI message stream, as `useChat` of versions 5, 6 and 7 reads it.

The stream is server-sent events, each the JSON of one part, and `[DONE]` at the end. All readers
refuse an unknown type, and strict ones an unknown field, so this module uses only the types of
version 5, and metadata goes into `messageMetadata`. useChat takes a stream that merely ends for a
success, so each ends with `finish`, `abort` or `error`.
Source: AI SDK, "Stream Protocols"; checked against ai 5.0.277, 6.0.326 and 7.0.173.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, assert_never
from uuid import UUID

from lib.conversations.message import FinishReason, Message
from lib.conversations.parts import Data, File, Part, Reasoning, Source, Text, ToolCall
from lib.conversations.steps import Step, steps_of
from lib.conversations.ui_parts import (
    citations_field,
    provider_executed,
    shown_parts,
    whole_part,
)

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


def text_start(block: int) -> bytes:
    """Begin a text; a number that no other text or thought of the answer has is its id."""
    return f'data: {{"type":"text-start","id":"{block}"}}\n\n'.encode()


def text_delta(block: int, piece: str) -> bytes:
    """Encode a piece of text; without `part`, because every token comes through here."""
    return f'data: {{"type":"text-delta","id":"{block}","delta":{json.dumps(piece)}}}\n\n'.encode()


def text_end(block: int, text: Text) -> bytes:
    """End a text, and tell its citations."""
    return part({"type": "text-end", "id": str(block)} | citations_field(text))


def reasoning_start(block: int) -> bytes:
    """Begin a thought; see `text_start` for its id."""
    return f'data: {{"type":"reasoning-start","id":"{block}"}}\n\n'.encode()


def reasoning_delta(block: int, piece: str) -> bytes:
    """Encode a piece of a thought; without `part`, as a piece of text."""
    delta = json.dumps(piece)
    return f'data: {{"type":"reasoning-delta","id":"{block}","delta":{delta}}}\n\n'.encode()


def reasoning_end(block: int) -> bytes:
    """End a thought."""
    return f'data: {{"type":"reasoning-end","id":"{block}"}}\n\n'.encode()


def tool_input_start(call: ToolCall) -> bytes:
    """Begin a tool call whose arguments are still to come."""
    begun = {"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name}
    return part(begun | provider_executed(call))


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
        | provider_executed(call)
    )


def tool_progress(call_id: str, output: object) -> bytes:
    """Encode what a running call has come to so far; its outcome takes the place of it."""
    progress = {"type": "tool-output-available", "output": output, "preliminary": True}
    return part(progress | {"toolCallId": call_id})


def tool_output(call: ToolCall) -> bytes:
    """Encode the outcome of a call."""
    if call.error is not None:
        outcome = {"type": "tool-output-error", "errorText": call.error}
    else:
        outcome = {"type": "tool-output-available", "output": call.output}
    return part(outcome | {"toolCallId": call.id} | provider_executed(call))


def complete_step(step: Step, blocks: Iterator[int]) -> bytes:
    """Encode a step that is over, in one piece.

    Args:
        step: the step.
        blocks: numbers for its texts and thoughts.
    """
    events = (_complete(each, blocks) for each in shown_parts(step))
    return START_STEP + b"".join(events) + FINISH_STEP


def _complete(content: Part, blocks: Iterator[int]) -> bytes:
    match content:
        case Text(text):
            block = next(blocks)
            return text_start(block) + text_delta(block, text) + text_end(block, content)
        case Reasoning(text):
            block = next(blocks)
            return reasoning_start(block) + reasoning_delta(block, text) + reasoning_end(block)
        case ToolCall():
            opening = tool_input_start(content)
            return opening + tool_input(content) + tool_output(content)
        case Source() | File() | Data():
            return part(whole_part(content))
        case _:
            assert_never(content)


def conversation(conversation_id: object, title: str) -> bytes:
    """Encode a conversation's new title, which the page gets in `onData`.

    The part is transient: the message does not keep it, because history does not have it either.
    """
    data = {"id": conversation_id, "title": title}
    return part({"type": "data-conversation", "data": data, "transient": True})


def summary(conversation_id: object, summarized_at: datetime) -> bytes:
    """Tell that the model gets a summary of the earlier messages from this answer on.

    The part is transient, as that of a new title. GET /api/conversations?id= has the summary.
    """
    # In UTC, because the database's role may have another time zone.
    data = {"id": conversation_id, "created_at": summarized_at.astimezone(UTC).isoformat()}
    return part({"type": "data-summary", "data": data, "transient": True})


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
    blocks = count()
    steps = b"".join(complete_step(step, blocks) for step in steps_of(answer.step_columns))
    opening = start(answer.message_id, answer.conversation_id)
    return opening + (steps or START_STEP + FINISH_STEP) + finish(answer) + DONE
