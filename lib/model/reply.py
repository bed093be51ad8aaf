"""What a provider's stream says: text, tool calls, and why it ended."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from lib.texts import storable_text

MAX_EVENT_BYTES = 1024 * 1024
FINISH_REASONS = {"stop", "length", "content_filter", "tool_calls"}
MAX_NAME_CHARS = 255
MAX_TOOL_NAME_CHARS = 64
# Of Postgres.
MAX_INTEGER = 2**31 - 1


@dataclass(slots=True)
class Reply:
    """What a model says of its own answer while it streams.

    Attributes:
        finish_reason: a value of `chat_messages.finish_reason`; None: not finished.
        model_name: as the provider names it.
        prompt_tokens: as the provider counts; None: not said.
        completion_tokens: likewise.
    """

    finish_reason: str | None = None
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call, as it comes.

    Attributes:
        index: which of the calls of this reply.
        id: the call's id; '' but in its first piece, and with some providers always.
        name: the tool's name; '' but in its first piece.
        arguments: more of the arguments' text.
    """

    index: int
    id: str
    name: str
    arguments: str


class GarbledStreamError(Exception):
    """The provider's stream is not what the API's description says; never with its content."""


class Events:
    """A provider's event stream, of whose format (WHATWG HTML, "Server-sent events") as much is
    read as such providers use: a `data:` line an event.

    Attributes:
        are_over: `[DONE]` has come.
    """

    def __init__(self) -> None:
        """Begin with nothing received."""
        self.are_over = False
        self._rest = b""

    def feed(self, received: bytes) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of the events that are complete by now, up to `[DONE]`.

        Raises:
            GarbledStreamError: an event has no end, or is no JSON object.
        """
        # As bytes: `str.splitlines` would cut a line at each U+2028 of an answer.
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            message = "an event has no end"
            raise GarbledStreamError(message)
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self.are_over = True
                return
            yield _object_in(data)


def _object_in(data: bytes) -> dict[str, Any]:
    try:
        # Of bytes, `json` would look first in which encoding they are.
        chunk: object = json.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError:
        message = "an event is not JSON"
        raise GarbledStreamError(message) from None
    if not isinstance(chunk, dict):
        message = "an event is no object"
        raise GarbledStreamError(message)
    return chunk  # pyright: ignore[reportUnknownVariableType] (names are text in JSON)


def pieces_in(chunk: dict[str, Any], reply: Reply, *, has_tools: bool) -> list[str | CallPiece]:
    """Return the text and the pieces of calls that a chunk brings, and note the rest in the reply.

    Raises:
        GarbledStreamError: the chunk is not one of the API's description.
    """
    text = _read_chunk(chunk, reply)
    pieces: list[str | CallPiece] = [text] if text else []
    return [*pieces, *_read_calls(chunk)] if has_tools else pieces


def _read_chunk(chunk: dict[str, Any], reply: Reply) -> str:
    """Note what a chunk says of the reply, and return the text that it brings.

    Raises:
        GarbledStreamError: it reports an error, or is not of the API's form.
    """
    if chunk.get("error"):
        message = "the provider reported an error in the stream"
        raise GarbledStreamError(message)
    if reply.model_name is None and isinstance(name := chunk.get("model"), str):
        reply.model_name = storable_text(name)[:MAX_NAME_CHARS]
    if isinstance(usage := chunk.get("usage"), dict):
        counts = cast("dict[str, object]", usage)
        reply.prompt_tokens = _count(counts.get("prompt_tokens"))
        reply.completion_tokens = _count(counts.get("completion_tokens"))
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        return storable_text("".join(_read_choice(choice, reply) for choice in choices))
    except (AttributeError, TypeError) as error:
        message = "a chunk is not of the API's form"
        raise GarbledStreamError(message) from error


def _read_choice(choice: dict[str, Any], reply: Reply) -> str:
    if reason := choice.get("finish_reason"):
        reply.finish_reason = reason if reason in FINISH_REASONS else "other"
    delta: dict[str, Any] = choice.get("delta") or {}
    return delta.get("content") or delta.get("refusal") or ""


def _read_calls(chunk: dict[str, Any]) -> Iterator[CallPiece]:
    """Yield the pieces of tool calls that a chunk brings.

    Raises:
        GarbledStreamError: it is not of the API's form.
    """
    try:
        choices: list[dict[str, Any]] = chunk.get("choices") or []
        for choice in choices:
            delta: dict[str, Any] = choice.get("delta") or {}
            calls: list[dict[str, Any]] = delta.get("tool_calls") or []
            for call in calls:
                function: dict[str, Any] = call.get("function") or {}
                arguments = function.get("arguments") or ""
                yield CallPiece(
                    index=int(call.get("index") or 0),
                    id=storable_text(str(call.get("id") or ""))[:MAX_NAME_CHARS],
                    name=storable_text(function.get("name") or "")[:MAX_TOOL_NAME_CHARS],
                    # Some servers send them as an object, against the API's description.
                    arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
                )
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        message = "a tool call is not of the API's form"
        raise GarbledStreamError(message) from error


def _count(said: object) -> int | None:
    """Return a number of tokens, if it is one: a strange one must not cost the answer."""
    return said if isinstance(said, int) and 0 <= said <= MAX_INTEGER else None
