"""A provider's state: stored with each of its answers, and told to no other provider."""

from collections.abc import Iterator
from typing import Any

from lib.answers._sealed import opened, sealed
from lib.conversations.message import Message
from lib.conversations.steps import Step, StepState, steps_of, stored_states
from lib.model.origin import origin
from lib.models import Model
from lib.runtime.log import log
from lib.settings import settings
from lib.texts import json_text

# Of one answer. A turn reads the states of all answers in its window.
MAX_STATE_CHARS = 1024 * 1024


def provider_state(steps: list[Step], model: Model) -> dict[str, Any] | None:
    """Return the column `provider_state` of a model's answer; None: nothing is stored.

    All or nothing: a provider that misses a part of its state refuses the answer, but accepts an
    answer without any, as that of another model.
    """
    states = stored_states(steps)
    if not any(step["state"] or any(step["calls"]) for step in states):
        return None
    if settings().reasoning == "hide":
        return origin(model) | {"sealed": sealed(states)} if _is_storable(states) else None
    state: dict[str, Any] = origin(model) | {"steps": states}
    return state if _is_storable(state) else None


def _is_storable(state: object) -> bool:
    try:
        chars = len(json_text(state) or "")
    except (ValueError, RecursionError) as error:
        log("provider_state_not_stored", cause=type(error).__name__)
        return False
    if chars > MAX_STATE_CHARS:
        log("provider_state_not_stored", cause="too long", chars=chars)
    return chars <= MAX_STATE_CHARS


def steps_with_states(answer: Message, model: Model) -> Iterator[Step]:
    """Yield the steps of a stored answer, with their states if they are this model's."""
    stored = answer.provider_state or {}
    here = origin(model)
    is_own = {name: stored.get(name) for name in here} == here
    yield from steps_of(answer.step_columns, _states_in(stored) if is_own else ())


def _states_in(stored: dict[str, Any]) -> list[StepState]:
    return opened(stored["sealed"]) if "sealed" in stored else stored["steps"]
