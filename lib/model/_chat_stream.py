"""The chunks of the Chat Completions API: text, pieces of tool calls, and the end of an answer."""

import json
from collections.abc import Iterator
from typing import Any, cast

from lib.model.reply import FINISH_REASONS, CallPiece, GarbledStreamError, Piece, Reply
from lib.texts import storable_text

MAX_NAME_CHARS = 255
MAX_TOOL_NAME_CHARS = 64
# Postgres' `integer`.
MAX_INTEGER = 2**31 - 1


class ChatReader:
    """Reads the chunks of one response."""

    def __init__(self, reply: Reply, *, has_tools: bool) -> None:
        """Take the reply to note all in that is not a piece; without tools, calls are not read."""
        self._reply = reply
        self._has_tools = has_tools

    def read(self, chunk: dict[str, Any]) -> list[Piece]:
        """Return the pieces in a chunk.

        Raises:
            GarbledStreamError: when the chunk reports an error, or breaks the API's description.
        """
        text = _read_text(chunk, self._reply)
        pieces: list[Piece] = [text] if text else []
        return [*pieces, *_read_calls(chunk)] if self._has_tools else pieces


def _read_text(chunk: dict[str, Any], reply: Reply) -> str:
    """Return the text in a chunk, and note the model, the usage and the finish reason."""
    if chunk.get("error"):
        message = "the provider reported an error in the stream"
        raise GarbledStreamError(message)
    if reply.model_name is None and isinstance(name := chunk.get("model"), str):
        reply.model_name = storable_text(name)[:MAX_NAME_CHARS]
    if isinstance(usage := chunk.get("usage"), dict):
        counts = cast("dict[str, object]", usage)
        reply.prompt_tokens = _token_count(counts.get("prompt_tokens"))
        reply.completion_tokens = _token_count(counts.get("completion_tokens"))
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        return storable_text("".join(_read_choice(choice, reply) for choice in choices))
    except (AttributeError, TypeError) as error:
        message = "a chunk breaks the API's description"
        raise GarbledStreamError(message) from error


def _read_choice(choice: dict[str, Any], reply: Reply) -> str:
    if reason := choice.get("finish_reason"):
        reply.finish_reason = reason if reason in FINISH_REASONS else "other"
    delta: dict[str, Any] = choice.get("delta") or {}
    return delta.get("content") or delta.get("refusal") or ""


def _read_calls(chunk: dict[str, Any]) -> Iterator[CallPiece]:
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        for choice in choices:
            delta: dict[str, Any] = choice.get("delta") or {}
            calls: list[dict[str, Any]] = delta.get("tool_calls") or []
            for call in calls:
                function: dict[str, Any] = call.get("function") or {}
                arguments = function.get("arguments") or ""
                call_id = str(call.get("id") or "")
                yield CallPiece(
                    index=int(call.get("index") or 0),
                    id=storable_text(call_id)[:MAX_NAME_CHARS],
                    name=storable_text(function.get("name") or "")[:MAX_TOOL_NAME_CHARS],
                    # Some servers send an object, against the API's description.
                    arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
                    state={"id": call_id} if call_id else None,
                )
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        message = "a tool call breaks the API's description"
        raise GarbledStreamError(message) from error


def _token_count(count: object) -> int | None:
    """Return a number of tokens; None if it is not one, because it must not cost the answer."""
    return count if isinstance(count, int) and 0 <= count <= MAX_INTEGER else None
