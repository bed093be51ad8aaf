"""The steps of an answer, stored in two columns and read back."""

import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.conversations.message import Message
from lib.conversations.steps import (
    SEPARATOR,
    Step,
    ToolCall,
    steps_of,
    stored_states,
    stored_steps,
)

TEXTS = (
    "",
    "a",
    "👩‍👧",
    SEPARATOR,
    f"{SEPARATOR}b",
    f"c{SEPARATOR}",
    f"d{SEPARATOR}{SEPARATOR}e",
    "\n",
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(number: int, **outcome: Any) -> ToolCall:
    """Return a call with an outcome."""
    return ToolCall(id=f"call-{number}", name="add_task", arguments={"n": number}, **outcome)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_stored_steps_are_read_back_with_any_texts(count: int) -> None:
    for texts in itertools.product(TEXTS, repeat=count):
        steps = [Step(text, [call(number)]) for number, text in enumerate(texts)]
        for last_text in TEXTS:
            all_steps = [*steps, Step(last_text)] if last_text else steps

            assert [*steps_of(*stored_steps(all_steps))] == all_steps


@pytest.mark.parametrize(
    "outcome",
    [{"output": {"id": 1}}, {"output": None}, {"output": []}, {"error": "No."}, {"error": ""}],
    ids=str,
)
def test_the_outcome_of_a_stored_call_is_read_back(outcome: dict[str, Any]) -> None:
    steps = [Step("a", [call(1, **outcome), call(2, output="b")]), Step("c", [call(3)])]

    assert [*steps_of(*stored_steps(steps))] == steps


def _is_empty(step: Step) -> bool:
    return not step.text and not step.calls


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(0, 2)), max_size=6))
def test_each_stored_step_and_call_gets_its_own_state_back(shapes: list[tuple[str, int]]) -> None:
    steps = [
        Step(
            text,
            [call(10 * number + each, state={"call": [number, each]}) for each in range(count)],
            state={"step": number},
        )
        for number, (text, count) in enumerate(shapes)
    ]

    read = [*steps_of(*stored_steps(steps), stored_states(steps))]

    assert [each for step in read for each in step.calls] == [
        each for step in steps for each in step.calls
    ]
    # A step that stands alone has its own state; steps that are read back as one have none.
    said = [step for step in steps if not _is_empty(step)]
    merged = [not before.calls for before, _ in itertools.pairwise(said)]
    alone = [
        step
        for number, step in enumerate(said)
        if not (number > 0 and merged[number - 1]) and not (number < len(merged) and merged[number])
    ]
    assert [step for step in read if step.state is not None] == alone


@pytest.mark.parametrize("text", TEXTS[1:])
def test_an_answer_without_calls_has_one_step(text: str) -> None:
    assert stored_steps([Step(text)]) == (text, None)
    assert [*steps_of(text, None)] == [Step(text)]


def test_an_answer_without_steps_stores_no_text_and_no_calls() -> None:
    assert stored_steps([]) == stored_steps([Step()]) == ("", None)
    assert [*steps_of("", None)] == []


def test_history_shows_each_step_and_the_outcome_of_each_call() -> None:
    steps = [
        Step("Let me see.", [call(1, output={"id": 1}), call(2, error="No.")]),
        Step("", [call(3, output=None)]),
        Step("Done."),
    ]

    assert _parts(steps) == [
        {"type": "step-start"},
        {"type": "text", "text": "Let me see."},
        _call_part(1) | {"state": "output-available", "output": {"id": 1}},
        _call_part(2) | {"state": "output-error", "errorText": "No."},
        {"type": "step-start"},
        _call_part(3) | {"state": "output-available", "output": None},
        {"type": "step-start"},
        {"type": "text", "text": "Done."},
    ]


def test_history_shows_an_answer_without_calls_as_its_text() -> None:
    assert _parts([Step("Hello!")]) == [{"type": "text", "text": "Hello!"}]


def _call_part(number: int) -> dict[str, Any]:
    return {
        "type": "tool-add_task",
        "toolCallId": f"call-{number}",
        "input": {"n": number},
    }


def _parts(steps: list[Step]) -> list[dict[str, Any]]:
    content, tool_calls = stored_steps(steps)
    message = Message(
        id=1,
        conversation_id=UUID(int=1),
        message_id="answer-1",
        role="assistant",
        content=content,
        tool_calls=tool_calls,
        created_at=NOW,
        updated_at=NOW,
    )
    return message.to_json()["parts"]
