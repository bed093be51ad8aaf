"""How providers stream the Chat Completions API: an answer as chunks, and each provider's quirks.

A quirk takes the events of a well-behaved stream, and returns those of its provider.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from tests.support import model_server
from tests.support.images import data_url, png
from tests.zoo.asked import DRAW, Answer, Asked, halves, object_in, pieces_of, sealed

MODEL_NAME = "zoo-1"
DONE = b"data: [DONE]\n\n"


class Pause(Enum):
    """A silence in a stream.

    Attributes:
        UNTIL_GO: until the test lets the model go on.
        HEARTBEATS: comments until the client leaves.
    """

    UNTIL_GO = "until go"
    HEARTBEATS = "heartbeats"


# A chunk, raw bytes, or a silence.
type Event = dict[str, Any] | bytes | Pause
type Shape = Callable[[list[Event], Asked, Answer], list[Event]]


def chat_events(asked: Asked, answer: Answer) -> list[Event]:
    """Return an answer as OpenAI streams it."""
    events: list[Event] = [chunk({"role": "assistant", "content": ""})]
    if answer.call is not None:
        begun = {"name": "add_task", "arguments": ""}
        events.append(calls({"id": answer.call.id, "type": "function", "function": begun}))
        events += [
            calls({"function": {"arguments": half}}) for half in halves(answer.call.arguments)
        ]
    for number, piece in enumerate(pieces_of(answer.text)):
        if number == answer.waits_after:
            events.append(Pause.UNTIL_GO)
        events.append(chunk({"content": piece}))
    events.append(chunk({}, "tool_calls" if answer.call else "stop"))
    if object_in(asked.body, "stream_options").get("include_usage"):
        events.append(chunk(None) | {"usage": {"prompt_tokens": 7, "completion_tokens": 5}})
    return [*events, DONE]


def chunk(delta: dict[str, Any] | None, finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk of the zoo's model; without a delta it has no choice."""
    return model_server.chunk(delta, finish_reason, MODEL_NAME)


def calls(call: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk with a piece of the first call."""
    return chunk({"tool_calls": [{"index": 0} | call]})


def draws(events: list[Event], asked: Asked, answer: Answer) -> list[Event]:
    """Stream a picture where one is asked for."""
    return draws_always(events, asked, answer) if asked.question.startswith(DRAW) else events


def draws_always(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Stream a picture as OpenRouter does, before the text; some gateways send it again."""
    url = data_url("image/png", png(3, 2))
    image = {"type": "image_url", "image_url": {"url": url}, "index": 0}
    drawn = chunk({"role": "assistant", "content": "", "images": [image]})
    return [events[0], drawn, *events[1:-1], drawn, events[-1]]


def thinks(field: str) -> Shape:
    """Stream the thought in a field of its own, before the answer."""

    def shape(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
        thought = [chunk({"content": None, field: piece}) for piece in pieces_of(answer.thought)]
        return [events[0], *thought, *events[1:]]

    return shape


PAGE = "https://zoo.example/cats?a=1"


def cites(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Cite a page for the beginning of the text, in a delta after it; and one that is none."""
    if not answer.text:
        return events
    place = {"start_index": 0, "end_index": 1}
    citations = [
        {"type": "url_citation", "url_citation": {"url": url, "title": "Cats"} | place}
        for url in (PAGE, "javascript:alert(1)")
    ]
    at = next(
        number
        for number, event in enumerate(events)
        if isinstance(event, dict) and event["choices"] and event["choices"][0]["finish_reason"]
    )
    return [*events[:at], chunk({"content": "", "annotations": citations}), *events[at:]]


def cites_beside_the_choices(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send the pages with each chunk."""
    pages = {"citations": [PAGE], "search_results": [{"title": "Cats", "url": PAGE}]}
    return [event | pages if isinstance(event, dict) else event for event in events]


def thinks_in_tags(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Stream the thought as content, between two tags that are cut."""
    if not answer.thought:
        return events
    pieces = ["<th", "ink>\n", *pieces_of(answer.thought), "\n</thin", "k>\n\n"]
    return [events[0], *(chunk({"content": piece}) for piece in pieces), *events[1:]]


def thinks_in_lists(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Stream content as lists: first the thought, then the text, whose last pieces are texts."""
    thought = [
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]})
        for piece in pieces_of(answer.thought)
    ]
    texts = [each for each in events[1:] if isinstance(each, dict) and _delta(each).get("content")]
    listed = [
        chunk({"content": [{"type": "text", "text": _delta(each)["content"]}]}) if each in texts[:2]
        else each
        for each in events[1:]
    ]  # fmt: skip
    return [events[0], *thought, *listed]


def thinks_in_details(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Stream OpenRouter's `reasoning_details`: a text, its signature, and a sealed thought."""
    if not answer.thought:
        return events
    text = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    pieces: list[Event] = [
        chunk({"content": "", "reasoning": piece, "reasoning_details": [text | {"text": piece}]})
        for piece in pieces_of(answer.thought)
    ]
    ends = ({"signature": sealed(answer.thought)}, None)
    for end in ends:
        detail = text | end if end else sealed_detail()
        pieces.append(chunk({"content": "", "reasoning": None, "reasoning_details": [detail]}))
    return [events[0], *pieces, *events[1:]]


def sealed_detail() -> dict[str, Any]:
    """Return the second of OpenRouter's details."""
    data = {"data": sealed("a sealed thought"), "id": "rs_1", "format": "openai-responses-v1"}
    return {"type": "reasoning.encrypted", "index": 1} | data


def thinks_in_blocks(seal: Callable[[Asked, str], str]) -> Shape:
    """Stream LiteLLM's `thinking_blocks`: pieces of a text, then its signature.

    Args:
        seal: makes the signature of a thought.
    """

    def shape(events: list[Event], asked: Asked, answer: Answer) -> list[Event]:
        if not answer.thought:
            return events
        signature = seal(asked, answer.thought)
        blocks = [(piece, None) for piece in pieces_of(answer.thought)] + [("", signature)]
        thought = [
            chunk(
                {
                    "content": None,
                    "reasoning_content": piece,
                    "thinking_blocks": [
                        {"type": "thinking", "thinking": piece, "signature": signed}
                    ],
                }
            )
            for piece, signed in blocks
        ]
        return [events[0], *thought, *events[1:]]

    return shape


def calls_whole(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Stream a call in one piece."""
    if answer.call is None:
        return events
    first = next(at for at, event in enumerate(events) if _calls(event))
    rest = [event for event in events[first:] if not _calls(event)]
    return [*events[:first], calls(_whole(answer)), *rest]


def signs_calls(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Put Gemini's thought signature to a call."""
    for event in events:
        for call in _calls(event):
            if "id" in call and answer.call is not None:
                signature = sealed(answer.call.title)
                call["extra_content"] = {"google": {"thought_signature": signature}}
    return events


def repeats_calls(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Send the whole call once more in the last chunk."""
    for event in events:
        if answer.call is not None and _finish_reason(event):
            _delta(event)["tool_calls"] = [{"index": 0} | _whole(answer)]
    return events


def names_ids_again(events: list[Event], _asked: Asked, answer: Answer) -> list[Event]:
    """Send the call's id in every piece of it."""
    for event in events:
        for call in _calls(event):
            if answer.call is not None:
                call["id"] = answer.call.id
    return events


def begins_with_nothing(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Begin with Azure's chunk that has no choice and no model."""
    return [chunk(None) | {"model": "", "prompt_filter_results": [{"prompt_index": 0}]}, *events]


def filters_late(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send Azure's reports of its filter behind the finish reason."""
    late = chunk({}) | {"model": "", "content_filter_results": {"hate": {"filtered": False}}}
    at = next(at for at, event in enumerate(events) if _finish_reason(event))
    return [*events[: at + 1], late, *events[at + 1 :]]


def keeps_alive(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send all kinds of keep-alive events before and between the chunks."""
    beats = [b": PROCESSING\n\n", b"data:\n\n", b"data: null\n\n", b"event: ping\n\n", b"\r\n"]
    return [*beats, events[0], *beats, *events[1:]]


def counts_at_the_end(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send the usage in the last chunk with a choice, wanted or not."""
    for event in events:
        if isinstance(event, dict) and _finish_reason(event):
            event["usage"] = {"prompt_tokens": 7, "completion_tokens": 5}
    return [event for event in events if not isinstance(event, dict) or event["choices"]]


def ends_without_done(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Send heartbeats instead of `[DONE]`."""
    return [*(event for event in events if event != DONE), Pause.HEARTBEATS]


def ends_without_reason(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """End with `[DONE]` and no finish reason."""
    return [event for event in events if not _finish_reason(event)]


def ends_with(reason: str) -> Shape:
    """End with another finish reason."""

    def shape(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
        return [chunk({}, reason) if _finish_reason(event) else event for event in events]

    return shape


def with_calls(shape: Shape, title: str = "") -> Shape:
    """Apply a quirk to answers that call a tool, and to no other.

    Args:
        shape: the quirk.
        title: only to calls with this in the title of the task.
    """

    def limited(events: list[Event], asked: Asked, answer: Answer) -> list[Event]:
        is_meant = answer.call is not None and title in answer.call.title
        return shape(events, asked, answer) if is_meant else events

    return limited


def _whole(answer: Answer) -> dict[str, Any]:
    assert answer.call is not None
    function = {"name": "add_task", "arguments": answer.call.arguments}
    return {"id": answer.call.id, "type": "function", "function": function}


def _choice(event: Event) -> dict[str, Any]:
    return event["choices"][0] if isinstance(event, dict) and event["choices"] else {}


def _delta(event: Event) -> dict[str, Any]:
    return _choice(event).get("delta", {})


def _calls(event: Event) -> list[dict[str, Any]]:
    return _delta(event).get("tool_calls", [])


def _finish_reason(event: Event) -> str | None:
    return _choice(event).get("finish_reason")
