"""Events of the Responses API as servers send them beside OpenAI, read piece by piece."""

from typing import Any

import pytest

from lib.model._responses.stream import ResponsesReader
from lib.model.reply import (
    CallPiece,
    FilePiece,
    GarbledStreamError,
    Piece,
    ProviderError,
    ReasoningPiece,
    Reply,
)
from tests.support.model_server import Called
from tests.support.responses_model import Item, called, failed, responding, said, thought

MILK = Called("add_task", {"title": "Milk"}, "call_1")
BREAD = Called("add_task", {"title": "Bread"}, "call_2")


def read(events: list[dict[str, Any]], reply: Reply | None = None) -> list[Piece]:
    """Return the pieces in events, which must end the response with the last."""
    reader = ResponsesReader(reply or Reply(), has_tools=True)
    pieces: list[Piece] = []
    for event in events:
        assert not reader.is_over
        pieces += reader.read(event)
    assert reader.is_over
    return pieces


def calls_in(pieces: list[Piece]) -> list[tuple[str, str, str]]:
    """Return id, name and arguments of each call, assembled by its index."""
    calls: dict[int, list[str]] = {}
    for piece in pieces:
        assert isinstance(piece, CallPiece)
        call = calls.setdefault(piece.index, ["", "", ""])
        for place, text in enumerate((piece.id, piece.name, piece.arguments)):
            call[place] += text
    return [(call_id, name, arguments) for _, (call_id, name, arguments) in sorted(calls.items())]


TWO_CALLS = [
    ("call_1", "add_task", '{"title": "Milk"}'),
    ("call_2", "add_task", '{"title": "Bread"}'),
]


def only(events: list[dict[str, Any]], *ends: str) -> list[dict[str, Any]]:
    """Return the events whose type has one of these ends."""
    return [event for event in events if event["type"].endswith(ends)]


@pytest.mark.parametrize(
    "kept",
    [
        ("",),
        ("item.added", ".delta", "completed"),
        ("item.added", "arguments.done", "completed"),
        ("item.done", "completed"),
        ("completed",),
        ("item.added", "item.done", "completed"),
        (".delta", "item.done", "completed"),
    ],
    ids=" ".join,
)
def test_calls_are_read_from_whichever_events_a_server_sends(kept: tuple[str, ...]) -> None:
    events = only(responding(called(MILK), called(BREAD)).events, *kept)

    assert calls_in(read(events)) == TWO_CALLS


@pytest.mark.parametrize("kept", [("",), ("item.done", "completed"), ("completed",)], ids=" ".join)
def test_text_is_read_from_whichever_events_a_server_sends(kept: tuple[str, ...]) -> None:
    events = only(responding(said("Hel", "lo")).events, *kept)

    assert "".join(map(str, read(events))) == "Hello"


def by_deltas_alone(*calls: Called) -> list[dict[str, Any]]:
    """Return the events of calls without those that bring all arguments at once."""
    events = responding(*map(called, calls)).events
    events[-1]["response"]["output"] = []
    return only(events, "item.added", "arguments.delta", "completed")


@pytest.mark.parametrize("missing", ["output_index", "item_id"])
def test_no_field_that_names_the_call_must_be_there(missing: str) -> None:
    events = by_deltas_alone(MILK, BREAD)
    for event in events:
        event.pop(missing, None)

    assert calls_in(read(events)) == TWO_CALLS


def test_a_delta_may_name_its_call_by_the_id_that_its_result_will_have() -> None:
    first, *deltas, end = by_deltas_alone(MILK)
    first["item"] = {name: value for name, value in first["item"].items() if name != "id"}
    events = [event | {"item_id": "call_1", "output_index": None} for event in deltas]

    assert calls_in(read([first, *events, end])) == TWO_CALLS[:1]


@pytest.mark.parametrize("is_complete", [False, True])
def test_items_that_change_their_ids_with_each_event_are_the_same_items(
    *, is_complete: bool
) -> None:
    events = by_deltas_alone(MILK, BREAD)
    if is_complete:
        events = responding(called(MILK), called(BREAD)).events
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"id-{number}"
        if "item" in event:
            event["item"] = event["item"] | {"id": f"id-{number}"}

    assert calls_in(read(events)) == TWO_CALLS


def test_all_items_may_have_the_same_index() -> None:
    events = responding(called(MILK), called(BREAD)).events
    for event in events:
        if "output_index" in event:
            event["output_index"] = 0

    assert calls_in(read(events)) == TWO_CALLS


def test_deltas_of_two_calls_may_alternate() -> None:
    first, *first_deltas, second, third_delta, fourth_delta, end = by_deltas_alone(MILK, BREAD)
    alternating = [first_deltas[0], third_delta, first_deltas[1], fourth_delta]

    assert calls_in(read([first, second, *alternating, end])) == TWO_CALLS


def test_arguments_that_come_as_an_object_become_text() -> None:
    events = only(responding(called(MILK)).events, "item.done", "completed")
    events[0]["item"] = events[0]["item"] | {"arguments": {"title": "Milk"}}

    assert calls_in(read(events)) == TWO_CALLS[:1]


def test_without_tools_no_call_is_read() -> None:
    reader = ResponsesReader(Reply(), has_tools=False)

    assert [
        reader.read(event) for event in responding(called(MILK)).events if reader.read(event)
    ] == []


def test_parts_of_a_summary_are_paragraphs() -> None:
    pieces = read(responding(thought("One", "Two"), thought("Three"), said("Hello")).events)

    assert pieces == [
        ReasoningPiece("One"), ReasoningPiece("\n\nTwo"), ReasoningPiece("\n\nThree"), "Hello",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["response.reasoning_text.delta", "response.reasoning.delta"])
def test_reasoning_of_open_models_is_reasoning(name: str) -> None:
    end = responding().events[-1]
    deltas = [{"type": name, "delta": text} for text in ("Hel", "lo \ud83d", "\ude00")]

    pieces = read([*deltas, end])

    assert pieces[:3] == [
        ReasoningPiece("Hel"),
        ReasoningPiece("lo "),
        ReasoningPiece("\U0001f600"),
    ]


def test_two_messages_of_one_response_are_paragraphs() -> None:
    remark, answer = said("Let me ", "see.", phase="commentary"), said("Par", "is.")

    pieces = read(responding(remark, answer).events)

    assert "".join(map(str, pieces)) == "Let me see.\n\nParis."


def test_the_state_of_a_reply_is_its_items_as_they_stood_when_they_were_complete() -> None:
    items = (thought("One"), said("Hello", phase="commentary"), called(MILK))
    reply = Reply()

    read(responding(*items).events, reply)

    assert reply.state == {"items": [item.sent for item in items]}
    assert (reply.finish_reason, reply.prompt_tokens) == ("tool_calls", 7)


def test_a_text_alone_has_no_state() -> None:
    reply = Reply()

    read(responding(said("Hello")).events, reply)

    assert (reply.state, reply.finish_reason) == (None, "stop")


@pytest.mark.parametrize(
    "events",
    [
        responding(thought("One"), said("Hel"), ends_with="incomplete").events,
        responding(thought("One", encrypted_content=None), said("Hello")).events,
        responding(said("Hello"), thought("One")).events,
        responding(thought(), called(Called("add_task", "null", "call_1"))).events,
    ],
    ids=["incomplete", "not encrypted", "nothing follows", "arguments are no object"],
)
def test_items_that_the_provider_would_refuse_are_no_state(events: list[dict[str, Any]]) -> None:
    reply = Reply()

    read(events, reply)

    assert reply.state is None


def test_an_unknown_event_is_skipped() -> None:
    begin, *events = responding().events

    assert "".join(map(str, read([begin, {"type": "response.novelty", "delta": 5}, {}, *events])))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.added", "item": None},
        {"type": "response.output_item.done", "item": {"type": "message", "content": [5]}},
        {"type": "response.output_item.done", "item": {"type": "function_call", "call_id": []}},
        {"type": "response.function_call_arguments.delta", "item_id": [], "delta": "1"},
    ],
)
def test_an_item_that_breaks_the_description_is_an_error(event: dict[str, Any]) -> None:
    reader = ResponsesReader(Reply(), has_tools=True)

    with pytest.raises(GarbledStreamError):
        reader.read(event)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.created"},
        {"type": "response.output_text.delta"},
        {"type": "response.output_text.delta", "delta": 5},
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.reasoning_text.delta", "delta": []},
    ],
)
def test_another_event_that_breaks_the_description_is_skipped(event: dict[str, Any]) -> None:
    begin, *events = responding().events

    assert read([begin, event, *events]) == read([begin, *events])


@pytest.mark.parametrize("response", [None, {"output": 5}, {"usage": 5, "incomplete_details": 5}])
def test_a_broken_end_is_an_end(response: object) -> None:
    reply = Reply()
    text = {"type": "response.output_text.delta", "delta": "Hello"}

    pieces = read([text, {"type": "response.completed", "response": response}], reply)

    assert (pieces, reply.finish_reason) == (["Hello"], "stop")


def test_two_messages_that_come_as_deltas_alone_are_read_once() -> None:
    texts = [{"type": "response.output_text.delta", "delta": text} for text in ("One. ", "Two.")]
    messages = [
        {"type": "message", "content": [{"type": "output_text", "text": text["delta"]}]}
        for text in texts
    ]

    pieces = read([*texts, {"type": "response.completed", "response": {"output": messages}}])

    assert pieces == ["One. ", "Two."]


@pytest.mark.parametrize("count", ["7", -1, 2**31, None, 1.5])
def test_a_count_of_tokens_that_is_none_does_not_cost_the_answer(count: object) -> None:
    events = responding().events
    events[-1]["response"]["usage"] = {"input_tokens": count, "output_tokens": 3}
    reply = Reply()

    read(events, reply)

    assert (reply.prompt_tokens, reply.completion_tokens) == (None, 3)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (failed(code="rate_limit_exceeded").events[-1], "rate_limit_exceeded"),
        ({"type": "error", "error": {"code": "insufficient_quota"}}, "insufficient_quota"),
        ({"type": "error", "code": "server_error", "message": "No."}, "server_error"),
        ({"error": {"code": "overloaded"}}, "overloaded"),
        ({"type": "response.done", "response": {"status": "failed"}}, None),
    ],
)
def test_an_error_is_raised_with_the_providers_code(event: dict[str, Any], error: str) -> None:
    reader = ResponsesReader(Reply(), has_tools=True)

    with pytest.raises(ProviderError) as raised:
        reader.read(event)

    assert raised.value.error.get("code") == error


@pytest.mark.parametrize(
    ("is_done", "finish_reason"), [(True, "tool_calls"), (False, None)], ids=["done", "cut"]
)
def test_a_server_that_says_done_need_not_say_completed(
    finish_reason: str | None, *, is_done: bool
) -> None:
    reply = Reply()
    reader = ResponsesReader(reply, has_tools=True)
    for event in responding(thought(), called(MILK)).events[:-1]:
        reader.read(event)

    assert list(reader.end(is_done=is_done)) == []

    assert reply.finish_reason == finish_reason
    assert (reply.state is not None) is is_done


def test_an_empty_response_is_not_complete_because_the_server_says_done() -> None:
    reply = Reply()

    assert list(ResponsesReader(reply, has_tools=True).end(is_done=True)) == []
    assert reply.finish_reason is None


def test_half_a_character_at_the_end_is_replaced() -> None:
    reader = ResponsesReader(Reply(), has_tools=True)
    reader.read({"type": "response.output_text.delta", "delta": "Hello \ud83d"})

    assert list(reader.end(is_done=False)) == ["\ufffd"]


@pytest.mark.parametrize(
    ("pieces", "thoughts", "text"),
    [
        (("<think>Hm.</think>Hello",), "Hm.", "Hello"),
        (("\n<thi", "nk>", "Hm.", "</th", "ink>\n\n", "Hello"), "Hm.", "Hello"),
        (tuple("<think>Hm.</think>\nHello"), "Hm.", "Hello"),
        (("<think>Hm.",), "Hm.", ""),
        (("Hello <think>Hm.</think>",), "", "Hello <think>Hm.</think>"),
        (("<this> is text",), "", "<this> is text"),
        (("<thi",), "", "<thi"),
    ],
)
def test_a_thought_between_tags_at_the_beginning_of_the_text_is_no_text(
    pieces: tuple[str, ...], thoughts: str, text: str
) -> None:
    reply = Reply()
    reader = ResponsesReader(reply, has_tools=True)

    read_pieces = [
        piece for event in responding(said(*pieces)).events for piece in reader.read(event)
    ]
    read_pieces += reader.end(is_done=False)

    told = [piece.text for piece in read_pieces if isinstance(piece, ReasoningPiece)]
    assert "".join(told) == thoughts
    assert "".join(piece for piece in read_pieces if isinstance(piece, str)) == text


def test_a_thought_between_tags_does_not_go_back_in_the_items_that_have_it_as_text() -> None:
    reply = Reply()

    read(responding(said("<think>Hm.</think>Hello"), called(MILK)).events, reply)

    assert reply.state is None


def test_the_beginning_of_a_tag_that_ends_a_message_stands_before_the_call_that_follows() -> None:
    pieces = read(responding(said("<thi"), called(MILK)).events)

    assert pieces[0] == "<thi"
    assert all(isinstance(piece, CallPiece) for piece in pieces[1:])


def test_a_message_after_a_thought_between_tags_begins_the_text() -> None:
    pieces = read(responding(said("<think>Hm.</think>"), said("Hello")).events)

    assert pieces == [ReasoningPiece("Hm."), "Hello"]


def test_a_thought_that_comes_whole_without_deltas_is_read_once() -> None:
    whole = only(
        responding(thought("First.", "Then."), said("Hello")).events, "item.done", "completed"
    )

    assert read(whole) == [ReasoningPiece("First.\n\nThen."), "Hello"]


def test_tokens_of_thoughts_and_of_the_cache_are_counted() -> None:
    reply = Reply()
    events = responding(said("Hello")).events
    usage = events[-1]["response"]["usage"]
    usage["input_tokens_details"] = {"cached_tokens": 5, "cache_write_tokens": 2}
    usage["output_tokens_details"] = {"reasoning_tokens": 12}

    read(events, reply)

    assert (reply.cached_tokens, reply.reasoning_tokens) == (5, 12)


def drawn(content: str | None) -> Item:
    """Return a picture that a tool of the provider's has made, as base64."""
    item = {"id": "ig_1", "type": "image_generation_call", "status": "completed"}
    return Item(item | {"result": content})


def test_a_generated_picture_is_a_piece_and_goes_back_in_no_state() -> None:
    reply = Reply()
    script = responding(thought("A cat."), drawn("AAEC"), said("Here."))

    pieces = read(script.events, reply)

    assert [piece for piece in pieces if isinstance(piece, FilePiece)] == [FilePiece(b"\0\1\2")]
    assert pieces[-1] == "Here."
    assert (reply.finish_reason, reply.state) == ("stop", None)


def test_a_picture_that_comes_with_the_end_alone_is_read_once() -> None:
    [*_, end] = responding(drawn("AAEC"), drawn("AAEC")).events

    assert read([end]) == [FilePiece(b"\0\1\2")]


def test_a_picture_that_was_not_made_is_counted() -> None:
    reply = Reply()

    assert "Sorry." in read(responding(drawn(None), said("Sorry.")).events, reply)
    assert reply.left_out_count == 1
