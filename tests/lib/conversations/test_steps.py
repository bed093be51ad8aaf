"""The steps of an answer, stored in two columns and read back."""

import itertools
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.conversations.message import Message
from lib.conversations.parts import Data, File, Part, Reasoning, Source, Text, ToolCall
from lib.conversations.steps import (
    SEPARATOR,
    Step,
    StepColumns,
    steps_of,
    stored_states,
    stored_steps,
)
from tests.support.made_steps import made_step

pytestmark = pytest.mark.usefixtures("default_settings")

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
        steps = [made_step(text, [call(number)]) for number, text in enumerate(texts)]
        for last_text in TEXTS:
            all_steps = [*steps, made_step(last_text)] if last_text else steps

            assert [*steps_of(stored_steps(all_steps))] == all_steps


@pytest.mark.parametrize(
    "outcome",
    [{"output": {"id": 1}}, {"output": None}, {"output": []}, {"error": "No."}, {"error": ""}],
    ids=str,
)
def test_the_outcome_of_a_stored_call_is_read_back(outcome: dict[str, Any]) -> None:
    steps = [made_step("a", [call(1, **outcome), call(2, output="b")]), made_step("c", [call(3)])]

    assert [*steps_of(stored_steps(steps))] == steps


texts = st.builds(Text, st.sampled_from(TEXTS[1:]))
parts: st.SearchStrategy[Part] = st.one_of(
    texts,
    st.builds(Reasoning, st.sampled_from(TEXTS[1:])),
    st.builds(call, st.integers(0, 9), state=st.sampled_from([None, {"id": "call_1"}])),
    st.builds(
        Source,
        id=st.text(),
        url=st.sampled_from([None, "https://example.com"]),
        title=st.none() | st.text(),
        start=st.none() | st.integers(0, 9),
    ),
    st.builds(File, url=st.text(), media_type=st.just("image/png")),
    st.builds(Data, name=st.just("weather"), data=st.none() | st.integers(), id=st.none()),
)
any_steps = st.lists(
    st.builds(Step, st.lists(parts, max_size=4), st.sampled_from([None, {"s": 1}])), max_size=4
)


@settings(max_examples=500)
@given(any_steps)
def test_steps_of_any_parts_are_read_back_with_their_states(steps: list[Step]) -> None:
    columns = stored_steps(steps)
    stored = StepColumns(**json.loads(json.dumps(asdict(columns))))

    assert [*steps_of(stored, stored_states(steps))] == steps


def test_only_an_answer_of_other_parts_or_in_another_order_stores_its_steps() -> None:
    text, thought = Text("Hello"), Reasoning("Hm.")

    assert stored_steps([Step([text, call(1)]), Step([call(2)]), Step([text])]).steps is None
    assert [
        stored_steps(steps).steps
        for steps in ([Step([call(1), text])], [Step([thought, text])], [Step()])
    ] == [
        [[{"type": "call"}, {"type": "text", "chars": 5}]],
        [[{"type": "reasoning", "text": "Hm."}, {"type": "text", "chars": 5}]],
        [[]],
    ]


@pytest.mark.parametrize("text", TEXTS[1:])
def test_an_answer_of_one_text_stores_it_as_its_content(text: str) -> None:
    assert stored_steps([made_step(text)]) == StepColumns(text)


def test_history_shows_each_step_and_the_outcome_of_each_call() -> None:
    steps = [
        made_step("Let me see.", [call(1, output={"id": 1}), call(2, error="No.")]),
        made_step("", [call(3, output=None)]),
        made_step("Done."),
    ]

    assert _parts(steps) == [
        {"type": "step-start"},
        {"type": "text", "text": "Let me see.", "state": "done"},
        _call_part(1) | {"state": "output-available", "output": {"id": 1}},
        _call_part(2) | {"state": "output-error", "errorText": "No."},
        {"type": "step-start"},
        _call_part(3) | {"state": "output-available", "output": None},
        {"type": "step-start"},
        {"type": "text", "text": "Done.", "state": "done"},
    ]


def test_history_shows_an_answer_without_calls_as_one_step() -> None:
    assert _parts([made_step("Hello!")]) == [
        {"type": "step-start"},
        {"type": "text", "text": "Hello!", "state": "done"},
    ]


def _call_part(number: int) -> dict[str, Any]:
    return {
        "type": "tool-add_task",
        "toolCallId": f"call-{number}",
        "input": {"n": number},
    }


def _parts(steps: list[Step]) -> list[dict[str, Any]]:
    columns = stored_steps(steps)
    message = Message(
        id=1,
        conversation_id=UUID(int=1),
        message_id="answer-1",
        role="assistant",
        content=columns.content,
        tool_calls=columns.tool_calls,
        steps=columns.steps,
        created_at=NOW,
        updated_at=NOW,
    )
    return message.to_json()["parts"]
