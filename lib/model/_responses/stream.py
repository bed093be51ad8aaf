"""The events of the Responses API: text, reasoning, tool calls, and the end of an answer."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from lib.model._annotations import search_in, sources_in
from lib.model._chat.stream import (
    MAX_INTEGER,
    MAX_NAME_CHARS,
    MAX_TOOL_NAME_CHARS,
    cached_tokens_in,
    reasoning_tokens_in,
)
from lib.model._inline_thought import InlineThought
from lib.model._pictures import Pictures
from lib.model._responses.request import WEB_SEARCH
from lib.model.reply import (
    CallPiece,
    GarbledStreamError,
    HostedCallPiece,
    ModelFinishReason,
    Piece,
    ProviderError,
    ReasoningPiece,
    Reply,
)
from lib.runtime.counting import note_unreadable_event
from lib.texts import Characters, parse_object, storable_json, storable_text

# Why a response is incomplete: by the API's description, and as servers on top of Chat say it.
INCOMPLETE_REASONS: dict[object, ModelFinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "length": "length",
    "content_filter": "content_filter",
}
PARAGRAPH = "\n\n"
SEARCH_CALL = "web_search_call"
# Events that may belong to a tool call.
CALL_EVENTS = {
    "response.output_item.added",
    "response.output_item.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
}


@dataclass(slots=True)
class _Call:
    """A tool call, as far as it has come.

    Attributes:
        number: position of the call among those of this reply.
        id: the provider's `call_id`; '' until it comes.
        name: the tool's; '' until it comes.
        received: the arguments as far as they have come.
        arguments: joins their deltas.
    """

    number: int
    id: str = ""
    name: str = ""
    received: str = ""
    arguments: Characters = field(default_factory=Characters)

    def add(self, *, call_id: str = "", name: str = "", arguments: str = "") -> list[Piece]:
        """Return a piece with the news, if there is any."""
        call_id, name = "" if self.id else call_id, "" if self.name else name
        self.id, self.name = self.id or call_id, self.name or name
        text = self.arguments.add(arguments).replace("\0", "")
        self.received += text
        if not (call_id or name or text):
            return []
        piece = CallPiece(
            self.number,
            storable_text(call_id)[:MAX_NAME_CHARS],
            storable_text(name)[:MAX_TOOL_NAME_CHARS],
            text,
            state={"id": call_id} if call_id else None,
        )
        return [piece]

    def rest_of(self, arguments: object) -> str:
        """Return the rest of the complete arguments: those that no delta has brought."""
        # Some servers send an object, against the API's description.
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        self.arguments = Characters()
        return text[len(self.received) :] if text.startswith(self.received) else ""


class ResponsesReader:
    """Reads the events of one response.

    Attributes:
        is_over: the response has ended: nothing that counts follows.
    """

    def __init__(self, reply: Reply, *, has_tools: bool) -> None:
        """Take the reply to note all in that is not a piece; without tools, calls are not read."""
        self.is_over = False
        self._reply = reply
        self._has_tools = has_tools
        self._text = Characters()
        # None: the text is past any thought.
        self._inline: InlineThought | None = InlineThought()
        self._has_inline_thought = False
        self._has_text = False
        self._is_message_streamed = False
        self._begins_paragraph = False
        # Characters of text so far, and where the current item's and its current part's begin:
        # annotations count from the beginning of their part.
        self._text_chars = self._item_start = self._part_start = 0
        self._has_annotations = False
        self._reasoning = Characters()
        self._reasoning_part: tuple[object, ...] | None = None
        self._is_reasoning_streamed = False
        self._calls: list[_Call] = []
        # Under each key that an event may name the call by, because no key serves for all servers:
        # some send no `output_index`, some another `item_id` with each event.
        self._calls_by_key: dict[tuple[str, object], _Call] = {}
        self._items: list[dict[str, Any]] = []
        self._pictures = Pictures(reply)

    def read(self, event: dict[str, Any]) -> list[Piece]:
        """Return the pieces in an event.

        Raises:
            ProviderError: when the event reports an error.
            GarbledStreamError: when an item or arguments break the API's description. Without the
                broken event the arguments of a call may be others, and still JSON.
        """
        kind = event.get("type")
        try:
            return self._READERS.get(kind, ResponsesReader._read_other)(self, event)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            if kind not in CALL_EVENTS:
                note_unreadable_event()
                return []
            message = "an event breaks the API's description"
            raise GarbledStreamError(message) from error

    def end(self, *, is_done: bool) -> Iterator[Piece]:
        """Yield the text that waited for more, and complete the reply.

        Args:
            is_done: `[DONE]` has arrived, which is a server's word that the answer is whole, even
                if it sends no `response.completed`.
        """
        yield from self._end_text()
        has_answer = self._items or self._calls or self._is_message_streamed
        if is_done and has_answer and self._reply.finish_reason is None:
            self._end_well()

    def _read_text_delta(self, event: dict[str, Any]) -> list[Piece]:
        self._is_message_streamed = True
        return self._read_text(event["delta"])

    def _read_reasoning(self, event: dict[str, Any]) -> list[Piece]:
        self._is_reasoning_streamed = True
        return self._think(event["delta"], event)

    def _think(self, delta: str, event: dict[str, Any]) -> list[Piece]:
        text = self._reasoning.add(delta).replace("\0", "")
        if not text:
            return []
        names = ("type", "output_index", "summary_index", "content_index")
        earlier_part, self._reasoning_part = self._reasoning_part, tuple(map(event.get, names))
        is_next_part = earlier_part not in (None, self._reasoning_part)
        return [ReasoningPiece(PARAGRAPH + text if is_next_part else text)]

    def _read_arguments(self, event: dict[str, Any]) -> list[Piece]:
        call = self._call_of(event)
        return call.add(arguments=event["delta"]) if call else []

    def _end_arguments(self, event: dict[str, Any]) -> list[Piece]:
        call = self._call_of(event)
        return call.add(arguments=call.rest_of(event["arguments"])) if call else []

    def _begin_item(self, event: dict[str, Any]) -> list[Piece]:
        item: dict[str, Any] = event["item"]
        self._item_start = self._part_start = self._next_start()
        if item.get("type") == SEARCH_CALL:
            self._begins_paragraph = False
            return [HostedCallPiece(key=_key_of(event), name=WEB_SEARCH)]
        if item.get("type") != "function_call" or not self._has_tools:
            return []
        # Without arguments: the deltas bring them, or the complete item does.
        return self._call_in(item, event).add(**_names_in(item))

    def _end_item(self, event: dict[str, Any]) -> list[Piece]:
        """Return the rest of a complete item: some servers send no deltas before it."""
        item: dict[str, Any] = event["item"]
        if item.get("type") == "image_generation_call":
            return self._end_picture(item)
        self._items.append(cast("dict[str, Any]", storable_json(item)))
        match item.get("type"):
            case "message":
                pieces = [] if self._is_message_streamed else self._read_text(_text_of(item))
                pieces += self._end_text()
                pieces += self._rest_of_sources(item)
                # A response may have several messages, such as a remark and then the answer.
                self._is_message_streamed, self._begins_paragraph = False, self._has_text
                return pieces
            case "reasoning":
                is_streamed, self._is_reasoning_streamed = self._is_reasoning_streamed, False
                return [] if is_streamed else self._think(_thought_of(item), event)
            case "function_call" if self._has_tools:
                self._begins_paragraph = False
                call = self._call_in(item, event)
                return call.add(**_names_in(item), arguments=call.rest_of(item.get("arguments")))
            case _ if item.get("type") == SEARCH_CALL:
                self._begins_paragraph = False
                return [search_in(item, _key_of(event))]
            case _:
                return []

    def _begin_part(self, _event: dict[str, Any]) -> list[Piece]:
        self._part_start = self._next_start()
        return []

    def _read_annotation(self, event: dict[str, Any]) -> list[Piece]:
        self._has_annotations = True
        return [*sources_in([event["annotation"]], self._part_start)]

    def _end_part(self, event: dict[str, Any]) -> list[Piece]:
        annotations = _object(event.get("part")).get("annotations")
        self._has_annotations = self._has_annotations or bool(annotations)
        return [*sources_in(annotations, self._part_start)]

    def _rest_of_sources(self, message: dict[str, Any]) -> list[Piece]:
        """Return the sources of a complete message, unless they have come one by one."""
        pieces: list[Piece] = []
        start = self._item_start
        for part in _parts_of(message):
            if not self._has_annotations:
                pieces += sources_in(part.get("annotations"), start)
            if isinstance(text := part.get("text"), str):
                start += len(storable_text(text))
        self._has_annotations = False
        # Without `output_item.added` the next item begins here.
        self._item_start = self._part_start = self._text_chars
        return pieces

    def _next_start(self) -> int:
        """Return where the next text begins."""
        return self._text_chars + (len(PARAGRAPH) if self._begins_paragraph else 0)

    def _end_picture(self, item: dict[str, Any]) -> list[Piece]:
        pieces: list[Piece] = []
        # Without the picture, which would go back with each request.
        self._items.append({name: value for name, value in item.items() if name != "result"})
        self._pictures.add(item.get("result"), pieces)
        self._begins_paragraph = False
        return pieces

    def _begin(self, event: dict[str, Any]) -> list[Piece]:
        self._note_model(_object(event.get("response")))
        return []

    def _end(self, event: dict[str, Any]) -> list[Piece]:
        response = _object(event.get("response"))
        self._note_model(response)
        self._note_usage(response)
        # OpenRouter's `response.done` does not say it; others leave out `status`.
        statuses = {response.get("status"), event["type"].removeprefix("response.")}
        if statuses & {"failed", "cancelled"}:
            raise ProviderError(_error_in(response))
        pieces: list[Piece] = []
        if not self._items:
            pieces = self._read_output(response.get("output"))
        self.is_over = True
        if "incomplete" in statuses:
            details = _object(response.get("incomplete_details"))
            self._reply.finish_reason = INCOMPLETE_REASONS.get(details.get("reason"), "other")
            return pieces
        self._end_well()
        return pieces

    def _read_output(self, output: object) -> list[Piece]:
        """Return the pieces of the items of a response in which no item has come before its end."""
        pieces: list[Piece] = []
        is_streamed = self._is_message_streamed
        for item in cast("list[dict[str, Any]]", output if isinstance(output, list) else []):
            # The deltas were those of all messages.
            self._is_message_streamed = is_streamed
            pieces += self._end_item({"item": item})
        return pieces

    def _end_well(self) -> None:
        self._reply.finish_reason = "tool_calls" if self._calls else "stop"
        self._reply.state = self._state()

    def _read_other(self, event: dict[str, Any]) -> list[Piece]:
        if event.get("type") == "error" or event.get("error"):
            raise ProviderError(_error_in(event))
        return []

    def _read_text(self, delta: str) -> list[Piece]:
        text = self._text.add(delta)
        return self._text_pieces(text) if text else []

    def _end_text(self) -> list[Piece]:
        """Return text that waited for the other half of a character, or for the rest of a tag."""
        text = self._text.end()
        pieces = self._text_pieces(text) if text else []
        return pieces if self._inline is None else pieces + self._split_pieces(*self._inline.end())

    def _text_pieces(self, text: str) -> list[Piece]:
        text = text.replace("\0", "")
        if self._inline is None:
            return self._split_pieces("", text)
        return self._split_pieces(*self._inline.split(text))

    def _split_pieces(self, thought: str, text: str) -> list[Piece]:
        """Return pieces of a thought and of the text that follows it."""
        if self._inline is not None and self._inline.is_over:
            self._inline = None
        pieces: list[Piece] = []
        if thought:
            self._has_inline_thought = True
            pieces.append(ReasoningPiece(thought))
        if text:
            self._has_text = True
            if self._begins_paragraph:
                self._item_start = self._part_start = self._text_chars + len(PARAGRAPH)
                text = PARAGRAPH + text
                self._begins_paragraph = False
            self._text_chars += len(text)
            pieces.append(text)
        return pieces

    def _call_of(self, event: dict[str, Any]) -> _Call | None:
        """Return the call that an event about arguments means."""
        name = event.get("item_id")
        # llama.cpp names the call's id there.
        keys = [("item", name), ("call", name), ("output", event.get("output_index"))]
        return next((self._calls_by_key[key] for key in keys if key in self._calls_by_key), None)

    def _call_in(self, item: dict[str, Any], event: dict[str, Any]) -> _Call:
        """Return the call of an item; a new one if the item is the first that tells of it."""
        keys = [
            ("call", item.get("call_id")),
            ("item", item.get("id")),
            ("output", event.get("output_index")),
        ]
        keys = [key for key in keys if key[1] not in (None, "")]
        call_id = item.get("call_id")
        known = (self._calls_by_key[key] for key in keys if key in self._calls_by_key)
        call = next((each for each in known if not (each.id and call_id != each.id)), None)
        if call is None:
            call = _Call(number=len(self._calls))
            self._calls.append(call)
        self._calls_by_key |= dict.fromkeys(keys, call)
        return call

    def _state(self) -> dict[str, Any] | None:
        """Return the items if they tell more than their text, and the provider takes them back."""
        if all(item.get("type") == "message" and not item.get("phase") for item in self._items):
            return None
        if self._has_inline_thought:
            # The items tell the thought as text.
            return None
        items = _items_of_step(self._items)
        # Reasoning must be followed by an item.
        is_complete = bool(items) and items[-1].get("type") != "reasoning"
        return {"items": items} if is_complete and all(map(_returns, items)) else None

    def _note_model(self, response: dict[str, Any]) -> None:
        name = response.get("model")
        if self._reply.model_name is None and isinstance(name, str) and name:
            self._reply.model_name = storable_text(name)[:MAX_NAME_CHARS]

    def _note_usage(self, response: dict[str, Any]) -> None:
        usage = _object(response.get("usage"))
        reply = self._reply
        reply.prompt_tokens = _token_count(usage.get("input_tokens"))
        reply.completion_tokens = _token_count(usage.get("output_tokens"))
        reply.cached_tokens = cached_tokens_in(usage, "input_tokens_details", reply.prompt_tokens)
        reply.reasoning_tokens = reasoning_tokens_in(usage, "output_tokens_details")

    # Of functions, because a reader that held its own methods would be a circle of references.
    _READERS: ClassVar[dict[object, Callable[["ResponsesReader", dict[str, Any]], list[Piece]]]] = {
        "response.created": _begin,
        "response.in_progress": _begin,
        "response.output_text.delta": _read_text_delta,
        "response.refusal.delta": _read_text_delta,
        "response.content_part.added": _begin_part,
        "response.content_part.done": _end_part,
        "response.output_text.annotation.added": _read_annotation,
        "response.reasoning_summary_text.delta": _read_reasoning,
        "response.reasoning_text.delta": _read_reasoning,
        "response.output_item.added": _begin_item,
        "response.function_call_arguments.delta": _read_arguments,
        "response.function_call_arguments.done": _end_arguments,
        "response.output_item.done": _end_item,
        "response.completed": _end,
        "response.incomplete": _end,
        "response.failed": _end,
        # OpenRouter's names.
        "response.reasoning.delta": _read_reasoning,
        "response.done": _end,
    }


def _key_of(event: dict[str, Any]) -> str:
    """Return a key of an item: its place, because some servers name it another way each time."""
    place = event.get("output_index")
    return str(_object(event.get("item")).get("id") if place is None else place)


def _items_of_step(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items with the calls last, because the results of tools follow them.

    A model may go on after a call, before it has the result. The reasoning before an item stays
    before it: the provider refuses one without the other.
    """
    others, calls, waiting = [list[dict[str, Any]]() for _ in range(3)]
    for item in items:
        waiting.append(item)
        if item.get("type") != "reasoning":
            (calls if item.get("type") == "function_call" else others).extend(waiting)
            waiting = []
    return [*others, *calls, *waiting]


def _returns(item: dict[str, Any]) -> bool:
    """Return whether the provider takes an item back."""
    match item.get("type"):
        case "reasoning":
            # Encrypted, or from an open model its text; else the provider looks for it by its id
            # among the responses that it has stored, and there are none.
            return bool(item.get("encrypted_content") or item.get("content"))
        case "function_call":
            # Chat templates fail for other arguments.
            arguments = item.get("arguments")
            return isinstance(arguments, str) and parse_object(arguments) is not None
        case "image_generation_call":
            # Parley has not kept its picture.
            return False
        case _:
            return True


def _names_in(item: dict[str, Any]) -> dict[str, str]:
    return {"call_id": item.get("call_id") or "", "name": item.get("name") or ""}


def _text_of(message: dict[str, Any]) -> str:
    parts: list[dict[str, Any]] = message.get("content") or []
    return "".join(_part_texts(parts))


def _thought_of(item: dict[str, Any]) -> str:
    """Return the thought in a reasoning item: its summary, or from an open model all of it."""
    parts: list[dict[str, Any]] = item.get("summary") or item.get("content") or []
    return "\n\n".join(filter(None, _part_texts(parts)))


def _part_texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        yield part.get("text") or part.get("refusal") or ""


def _parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [
        _object(part) for part in cast("list[object]", content if isinstance(content, list) else [])
    ]


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _error_in(event: dict[str, Any]) -> dict[str, Any]:
    """Return the error in an event: an object, or fields of the event, as the API describes it."""
    error = event.get("error")
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    names = ("code", "message", "param")
    fields = {name: event[name] for name in names if name in event}
    return fields | ({"message": error} if isinstance(error, str) else {})


def _token_count(count: object) -> int | None:
    """Return a number of tokens; None if it is not one, because it must not cost the answer."""
    return count if isinstance(count, int) and 0 <= count <= MAX_INTEGER else None
