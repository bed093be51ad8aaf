"""The state that is stored with an answer, and the answers that are told with theirs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import lib.settings
from lib.answers._states import MAX_STATE_CHARS, provider_state, steps_with_states
from lib.conversations.message import Message
from lib.conversations.parts import ToolCall
from lib.conversations.steps import Step, stored_steps
from tests.support.made_steps import made_step
from tests.support.models import a_model

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = ToolCall(id="1", name="add_task", arguments={}, output=1, state={"id": "call_1"})
STEPS = [
    made_step("Let me see.", [CALL], state={"reasoning_content": "Hm."}),
    made_step("Done.", state={"reasoning_content": "So."}),
]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set the variables of a provider whose URL holds keys."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("OPENAI_MODEL", "model-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:key1@example.app:8000/v1?key=key2#key3")
    lib.settings.settings.cache_clear()
    yield monkeypatch
    lib.settings.settings.cache_clear()


def answer() -> Message:
    """Return the answer as it is stored."""
    columns = stored_steps(STEPS)
    state = provider_state(STEPS, a_model("model-1"))
    return Message(
        1, UUID(int=1), "m", "assistant", columns.content, NOW, NOW,
        tool_calls=columns.tool_calls, provider_state=state,
    )  # fmt: skip


def test_a_stored_answer_is_told_with_its_own_state() -> None:
    assert [*steps_with_states(answer(), a_model("model-1"))] == STEPS


def test_the_origin_of_a_state_is_stored_without_the_keys_in_the_url() -> None:
    state = answer().provider_state

    assert state is not None
    assert {name: value for name, value in state.items() if name != "steps"} == {
        "model": "model-1", "base_url": "https://example.app:8000/v1", "api": "chat",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OPENAI_MODEL", "model-2"), ("OPENAI_BASE_URL", "https://example.app:8000/v2")],
)
def test_an_answer_of_another_model_or_provider_is_told_without_its_state(
    variables: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    stored = answer()
    variables.setenv(variable, value)
    lib.settings.settings.cache_clear()

    [first, last] = steps_with_states(stored, lib.settings.settings().all_models[0])

    assert (first.state, first.calls[0].state, last.state) == (None, None, None)


def test_a_new_key_in_the_url_leaves_the_state_its_providers(variables: pytest.MonkeyPatch) -> None:
    stored = answer()
    variables.setenv("OPENAI_BASE_URL", "https://user:key4@example.app:8000/v1?key=key5")
    lib.settings.settings.cache_clear()

    assert [*steps_with_states(stored, lib.settings.settings().all_models[0])] == STEPS


def _deep() -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"in": nested}
    return nested


@pytest.mark.parametrize(
    "state",
    [{"score": float("nan")}, {"text": "x" * MAX_STATE_CHARS}, _deep()],
    ids=["no JSON", "too long", "too deep"],
)
def test_a_state_that_cannot_be_stored_is_left_out_whole(state: dict[str, Any]) -> None:
    [first, last] = STEPS

    assert provider_state([first, replace(last, state=state)], a_model()) is None


def test_an_answer_without_any_state_stores_none() -> None:
    assert provider_state([made_step("Hello"), Step()], a_model()) is None
