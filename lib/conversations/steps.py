"""Tool calls: what the model had done on the way to an answer, as it is stored with that.

An answer is made in steps, each a request to the model: text, then tool calls. The column `content`
holds the text of all steps, with SEPARATOR between; `tool_calls` says after how much of it each
call came. From both, the steps are found again: for the page, for the stream, for the model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

SEPARATOR = "\n\n"
UNKNOWN = "It is not known what came of this: it was cut. Look before you do it again."
CUT = "Not run: the arguments are too long, or were cut. Call it again with less."


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """A call, and what came of it.

    Attributes:
        id: as the model named it; one of our own where that was none or not the only one.
        name: the tool's.
        arguments: what it was called with.
        output: what it returned; only if there is no error.
        error: why it returned nothing, for the model; None: it did return something.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str | None = None

    def arguments_text(self) -> str:
        """Return the arguments as the provider has them, as text."""
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))

    def result(self) -> str:
        """Return what the model is told of it."""
        said = {"error": self.error} if self.error is not None else self.output
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))

    def to_json(self, step: int, text_end: int) -> dict[str, Any]:
        """Return it as it is stored.

        Args:
            step: number of the step that it was made in.
            text_end: characters of the answer's text up to the end of that step.
        """
        outcome = {"error": self.error} if self.error is not None else {"output": self.output}
        call = {"id": self.id, "name": self.name, "arguments": self.arguments}
        return call | outcome | {"step": step, "text_end": text_end}


@dataclass(slots=True)
class Step:
    """One step of an answer: what the model said, and then called."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])


def stored_steps(steps: list[Step]) -> tuple[str, list[dict[str, Any]] | None]:
    """Return what is stored of an answer's steps: its content and its tool_calls."""
    content, stored = "", list[dict[str, Any]]()
    for number, step in enumerate(steps):
        if step.text:
            content += (SEPARATOR if content else "") + step.text
        stored += [call.to_json(number, len(content)) for call in step.calls]
    return content, stored or None


def steps_of(content: str, tool_calls: list[dict[str, Any]] | None) -> Iterator[Step]:
    """Yield an answer's steps from what is stored of it; without calls, there is one."""
    start = 0
    for text_end, calls in _by_step(tool_calls or []):
        yield Step(_text(content, start, text_end), calls)
        start = text_end
    if rest := _text(content, start, len(content)):
        yield Step(rest)


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
