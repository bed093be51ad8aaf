"""The stored form of a stream: small, and it gives back each event as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.streams.compact import compact, expand
from lib.streams.parts import (
    FINISH_STEP,
    START_STEP,
    part,
    reasoning_delta,
    split,
    text_delta,
    text_start,
    tool_input_delta,
)

# Surrogates included: a piece may end with the first half of a pair.
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=50)
NAMES = st.text(max_size=20)
NUMBERS = st.integers(min_value=0, max_value=3)
EVENTS = st.one_of(
    st.builds(text_delta, NUMBERS, TEXTS),
    st.builds(reasoning_delta, NUMBERS, TEXTS),
    st.builds(tool_input_delta, NAMES, TEXTS),
    st.sampled_from([START_STEP, FINISH_STEP, text_start(0), b"data: [DONE]\n\n"]),
    # Anything else, also such as looks like a piece.
    st.dictionaries(
        st.sampled_from(["type", "id", "delta", "toolCallId", "inputTextDelta", "more"]),
        st.one_of(st.sampled_from(["text-delta", "tool-input-delta", "0"]), TEXTS),
        min_size=1,
    ).map(part),
)


@given(st.lists(EVENTS, max_size=30))
def test_the_stored_form_gives_back_each_event_byte_for_byte(events: list[bytes]) -> None:
    assert expand(compact(events)) == events


@given(st.lists(EVENTS, max_size=20), st.lists(EVENTS, max_size=20))
def test_stored_forms_that_are_joined_give_back_the_events_of_both(
    first: list[bytes], second: list[bytes]
) -> None:
    assert expand(compact(first) + compact(second)) == first + second


@given(st.lists(EVENTS, max_size=30))
def test_the_stored_form_is_text_that_postgres_stores(events: list[bytes]) -> None:
    assert "\0" not in compact(events).decode()


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type":"text-delta","id":"0","delta":"a","more":"b"}\n\n',
        b'data: {"type":"text-delta","id":"0","delta":"a\\/b"}\n\n',
        b'data: {"type":"text-delta","id":"0","delta":"\\u0041"}\n\n',
        'data: {"type":"text-delta","id":"0","delta":"é"}\n\n'.encode(),
        b'data: {"type":"text-delta","toolCallId":"0","inputTextDelta":"a"}\n\n',
        b'data: {"type":"tool-input-delta","id":"0","delta":"a"}\n\n',
        b'data: {"type":"text-delta","id":"0 1","delta":"a"}\n\n',
        b'data: {"type":"text-delta","id":"0","delta":"\\ud83d"}\n\n',
    ],
)
def test_an_event_that_is_written_in_another_way_is_stored_as_it_is(event: bytes) -> None:
    assert compact([text_delta(0, "a"), event, event]) == compact([text_delta(0, "a")]) + event * 2


def test_a_run_of_pieces_is_one_line_that_a_person_can_read() -> None:
    pieces = ["First", ",", " let me see", "\n", "“Well” ", "x" * 36, "y"]

    stored = compact([reasoning_delta(0, piece) for piece in pieces])

    assert stored.decode() == f"r0 51b17(36)1 First, let me see\\n“Well” {'x' * 36}y\n\n"


def test_runs_of_two_texts_are_two_lines() -> None:
    events = [text_delta(0, "a"), text_delta(1, "b"), reasoning_delta(1, "c")]

    assert compact([*events, tool_input_delta("call_1", '{"')]) == (
        b't0 1 a\n\nt1 1 b\n\nr1 1 c\n\nacall_1 2 {\\"\n\n'
    )


@pytest.mark.parametrize("batch", [8, 30_000], ids=["in small batches", "at once"])
@pytest.mark.parametrize(
    "token", [" let", "x", "思考", '"\n', "é"], ids=["words", "letters", "Chinese", "quotes", "é"]
)
def test_a_long_thought_is_stored_in_at_most_twice_its_text_and_the_ends_of_its_batches(
    token: str, batch: int
) -> None:
    events = [reasoning_delta(0, token) for _ in range(30_000)]
    line_bytes = len("r0  \n\n")

    stored = b"".join(
        compact(events[start : start + batch]) for start in range(0, len(events), batch)
    )

    # A quote takes two bytes in JSON.
    text_bytes = 30_000 * len(json.dumps(token, ensure_ascii=False)[1:-1].encode())
    assert len(stored) <= 2 * text_bytes + 30_000 / batch * line_bytes


@pytest.mark.parametrize(
    "stored", [b"x0 1 a\n\n", b"\n\n", b"r0 1\n\n", b'r0 1 "\n\n', b"r0 ! a\n\n"]
)
def test_a_line_that_is_no_stored_form_is_refused(stored: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        expand(stored)


def test_split_does_not_take_a_stored_line_for_several_events() -> None:
    stored = compact([text_delta(0, "a\n\nb"), text_delta(0, "\n\n")])

    assert len(split(stored)) == 1
