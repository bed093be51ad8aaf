"""The steps of an answer, as two columns store them: the text and the tool calls.

Each step is one request to the model: text, then tool calls. The column `content` holds the text of
all steps, with SEPARATOR between them; `tool_calls` says after how many characters each call came.
Together they give the steps back: to the page, to the stream, and to the model. A third column has
what must go back to the provider with each step, for those requests that the same model gets again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NotRequired, TypedDict

SEPARATOR = "\n\n"
UNKNOWN = "It is not known what came of this: it was cut. Look before you do it again."
CUT = "Not run: the arguments are too long, or were cut. Call it again with less."


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """A tool call and its outcome.

    Attributes:
        id: the model's id of the call; Parley's own where the model gave none or repeated one.
        name: the tool.
        arguments: by name.
        output: the tool's result; meaningful only without an error.
        error: why there is no result, in words for the model; None: there is a result.
        state: see `lib.model.request.PromptCall`; None: the call is another model's.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str | None = None
    state: dict[str, Any] | None = None

    def arguments_text(self) -> str:
        """Return the arguments as JSON text, as providers want them."""
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))

    def result(self) -> str:
        """Return the outcome as JSON text, for the model."""
        outcome = {"error": self.error} if self.error is not None else self.output
        return json.dumps(outcome, ensure_ascii=False, separators=(",", ":"))

    def to_json(self, step: int, text_end: int) -> dict[str, Any]:
        """Return the call as `tool_calls` stores it.

        Args:
            step: number of its step in the answer, from 0.
            text_end: characters of the answer's text up to the end of that step.
        """
        outcome = {"error": self.error} if self.error is not None else {"output": self.output}
        call = {"id": self.id, "name": self.name, "arguments": self.arguments}
        return call | outcome | {"step": step, "text_end": text_end}


@dataclass(slots=True)
class Step:
    """One step of an answer: the model's text, and then its tool calls.

    Attributes:
        text: '' if there is none.
        calls: in order.
        state: see `lib.model.request.AssistantMessage`; None: there is none, or the step is
            another model's.
        reasoning: the model's thoughts in a step that was cut; '' where the step is whole, because
            then its state has what the provider wants back.
    """

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    state: dict[str, Any] | None = None
    reasoning: str = ""


class StepState(TypedDict):
    """What must go back to the provider with a step.

    Attributes:
        state: `Step.state`.
        calls: `ToolCall.state` of each call.
        reasoning: `Step.reasoning`, which goes back to no provider, because it is not whole.
    """

    state: dict[str, Any] | None
    calls: list[dict[str, Any] | None]
    reasoning: NotRequired[str]


def stored_steps(steps: list[Step]) -> tuple[str, list[dict[str, Any]] | None]:
    """Return the columns `content` and `tool_calls` of an answer with these steps."""
    content, tool_calls = "", list[dict[str, Any]]()
    for number, step in enumerate(steps):
        if step.text:
            content += (SEPARATOR if content else "") + step.text
        tool_calls += [call.to_json(number, len(content)) for call in step.calls]
    return content, tool_calls or None


def stored_states(steps: list[Step]) -> list[StepState]:
    """Return the states of an answer's steps: an element for each step that `steps_of` yields.

    One more follows for a last step that was cut while the model had only thought. In `steps_of` a
    step without calls is one with the step after it: neither keeps its state, because together they
    are no longer what the provider sent. The calls keep theirs.
    """
    states = list[StepState]()
    spoken = list[Step]()
    for step in steps:
        if step.text or step.calls or step.reasoning:
            spoken.append(step)
        if step.calls:
            states.append(_state(spoken))
            spoken = []
    return [*states, _state(spoken)] if spoken else states


def _state(steps: list[Step]) -> StepState:
    """Return the state of steps that are read back as one, the last of which may have calls."""
    last = steps[-1]
    own = last.state if len(steps) == 1 else None
    state: StepState = {"state": own, "calls": [call.state for call in last.calls]}
    if last.reasoning:
        state["reasoning"] = last.reasoning
    return state


def steps_of(
    content: str,
    tool_calls: list[dict[str, Any]] | None,
    states: Sequence[StepState] = (),
) -> Iterator[Step]:
    """Yield the steps of a stored answer; without calls, it has one.

    Args:
        content: the column.
        tool_calls: likewise.
        states: of its steps, as `stored_states` returns them; by default no step has one.
    """
    start = 0
    given = iter(states)
    for text_end, calls in _by_step(tool_calls or []):
        yield _with_state(Step(_text(content, start, text_end), calls), next(given, None))
        start = text_end
    if last_text := _text(content, start, len(content)):
        yield _with_state(Step(last_text), next(given, None))


def _with_state(step: Step, state: StepState | None) -> Step:
    if state is not None:
        step.state = state["state"]
        for call, call_state in zip(step.calls, state["calls"], strict=True):
            call.state = call_state
    return step


def _text(content: str, start: int, end: int) -> str:
    text = content[start:end]
    return text.removeprefix(SEPARATOR) if start else text


def _by_step(tool_calls: list[dict[str, Any]]) -> Iterator[tuple[int, list[ToolCall]]]:
    for _, group in groupby(tool_calls, key=lambda call: call["step"]):
        stored = list(group)
        calls = [
            ToolCall(
                id=call["id"],
                name=call["name"],
                arguments=call["arguments"],
                output=call.get("output"),
                error=call.get("error"),
            )
            for call in stored
        ]
        yield stored[0]["text_end"], calls
