"""The AI SDK's UI message stream, as `useChat` of versions 5, 6 and 7 reads it.

Server-sent events, each the JSON of a part, and at the end `[DONE]`. Strict readers refuse a part
with a field too many, and all refuse an unknown type: so here are only the types that version 5
knows, and metadata goes into `messageMetadata`. To `useChat` a stream that merely ends looks like
success: each must end with `finish`, `abort` or `error`.
Source: AI SDK, "Stream Protocols"; checked against ai 5.0.277, 6.0.326 and 7.0.173.
"""

import json
from typing import Any

from lib.messages import Message

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "x-vercel-ai-ui-message-stream": "v1",
    # No proxy may keep a part back to compress or to collect it.
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
TEXT_ID = "0"
TEXT_START = f'data: {{"type":"text-start","id":"{TEXT_ID}"}}\n\n'.encode()
TEXT_END = f'data: {{"type":"text-end","id":"{TEXT_ID}"}}\n\n'.encode()
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


def part(content: dict[str, Any]) -> bytes:
    """Encode one part as an event."""
    return b"data: " + json.dumps(content, default=str, separators=(",", ":")).encode() + b"\n\n"


def start(message_id: str, conversation_id: object) -> bytes:
    """Begin an answer; the client takes its id from here."""
    metadata = {"conversation_id": conversation_id}
    return part({"type": "start", "messageId": message_id, "messageMetadata": metadata})


def text_delta(piece: str) -> bytes:
    """Encode a piece of text; by hand, since this is done for each token."""
    return (
        f'data: {{"type":"text-delta","id":"{TEXT_ID}","delta":{json.dumps(piece)}}}\n\n'.encode()
    )


def conversation(conversation_id: object, title: str) -> bytes:
    """Tell the page that its conversation has a new title: `onData` gets it.

    Transient, so it does not become a part of the message, which history would then lack.
    """
    data = {"id": conversation_id, "title": title}
    return part({"type": "data-conversation", "data": data, "transient": True})


def finish(answer: Message) -> bytes:
    """End an answer that is stored."""
    reason = FINISH_REASONS.get(answer.client_finish_reason or "", "other")
    return part({"type": "finish", "finishReason": reason, "messageMetadata": answer.ui_metadata()})


def error(text: str) -> bytes:
    """End with a failure, in words for the user."""
    return part({"type": "error", "errorText": text})


def whole(answer: Message) -> bytes:
    """Encode a stored answer as the stream that it once was, in one piece."""
    text = TEXT_START + text_delta(answer.content) + TEXT_END if answer.content else b""
    opening = start(answer.message_id, answer.conversation_id) + START_STEP
    return opening + text + FINISH_STEP + finish(answer) + DONE
