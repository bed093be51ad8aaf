"""The steps of an answer, and the columns that store them.

Each step is one request to the model: its parts in the order in which they came. The columns
`content` (the text of all steps, with SEPARATOR between texts) and `tool_calls` (each with its
step, and with the number of characters before it) tell the steps of most answers. Where they do
not, the column `steps` does: it has the order, and the parts that stand in no other column. So no
text is stored twice, and an answer of text alone costs what it did without the column.

The column `provider_state` has what must go back to the provider with each step, for those requests
that the same model gets again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, TypedDict, assert_never

from lib.conversations.parts import (
    Data,
    File,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    citations_in,
)

SEPARATOR = "\n\n"
UNKNOWN = "It is not known what came of this: it was cut. Look before you do it again."
CUT = "Not run: the arguments are too long, or were cut. Call it again with less."
# Of a call that the provider runs itself.
HOSTED_CUT = "It was cut before it was over."
# The parts that stand in `steps` whole, by the type under which it has them.
WHOLE: dict[str, type[Reasoning | Source | File | Data]] = {
    "reasoning": Reasoning,
    "source": Source,
    "file": File,
    "data": Data,
}
TYPES = {kind: name for name, kind in WHOLE.items()}


@dataclass(slots=True)
class Step:
    """One step of an answer.

    Attributes:
        parts: in the order in which they came.
        state: see `lib.model.request.AssistantMessage`; None: there is none, or the step is
            another model's.
    """

    parts: list[Part] = field(default_factory=list[Part])
    state: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The texts, with SEPARATOR between them; '' if there is none."""
        return SEPARATOR.join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls, in order, without those that the provider has run itself."""
        calls = (part for part in self.parts if isinstance(part, ToolCall))
        return [call for call in calls if not call.is_provider_executed]

    @property
    def is_only_thought(self) -> bool:
        """The model has only thought or searched, or nothing has come of it yet."""
        return not self.calls and all(
            isinstance(part, Reasoning | Source | ToolCall) for part in self.parts
        )


class StepState(TypedDict):
    """What must go back to the provider with a step.

    Attributes:
        state: `Step.state`.
        calls: `ToolCall.state` of each call.
    """

    state: dict[str, Any] | None
    calls: list[dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class StepColumns:
    """The columns of an answer that tell its steps.

    Attributes:
        content: the column.
        tool_calls: likewise.
        steps: likewise; None: the other two tell all.
    """

    content: str
    tool_calls: list[dict[str, Any]] | None = None
    steps: list[list[dict[str, Any]]] | None = None


def add_part(steps: list[Step], part: Source | File | Data) -> bool:
    """Add a part to the last step. Data takes the place of earlier data with its name and id.

    useChat replaces data in the same way, in whichever step it stands.

    Returns:
        Whether there is one part more.
    """
    if isinstance(part, Data) and part.id is not None:
        for step in steps:
            for place, other in enumerate(step.parts):
                if isinstance(other, Data) and (other.name, other.id) == (part.name, part.id):
                    step.parts[place] = part
                    return False
    steps[-1].parts.append(part)
    return True


def stored_steps(steps: list[Step]) -> StepColumns:
    """Return the columns of an answer with these steps."""
    content, tool_calls = "", list[dict[str, Any]]()
    for number, step in enumerate(steps):
        for part in step.parts:
            if isinstance(part, Text):
                content += (SEPARATOR if content else "") + part.text
            elif isinstance(part, ToolCall):
                tool_calls.append(part.to_json(number, len(content)))
    stored = None if _are_plain(steps) else [list(map(stored_part, step.parts)) for step in steps]
    return StepColumns(content, tool_calls or None, stored)


def stored_states(steps: list[Step]) -> list[StepState]:
    """Return the states of an answer's steps: an element for each step that `steps_of` yields."""
    return [{"state": step.state, "calls": [call.state for call in step.calls]} for step in steps]


def steps_of(columns: StepColumns, states: Sequence[StepState] = ()) -> Iterator[Step]:
    """Yield the steps of a stored answer.

    Args:
        columns: its columns.
        states: of its steps, as `stored_states` returns them; by default no step has one.
    """
    steps = _plain_steps(columns) if columns.steps is None else _all_steps(columns, columns.steps)
    given = iter(states)
    for step in steps:
        state = next(given, None)
        if state is not None:
            step.state = state["state"]
            for call, call_state in zip(step.calls, state["calls"], strict=True):
                call.state = call_state
        yield step


def _are_plain(steps: list[Step]) -> bool:
    """Tell whether `content` and `tool_calls` tell these steps.

    Each step has at most a text, and then its calls; and each but the last has a call. An empty
    text, which `content` cannot tell from no text, is a part as well: the stream has begun it.
    """
    for step in steps:
        kinds = list(map(type, step.parts))
        is_plain = kinds[:1] in ([Text], [ToolCall]) and set(kinds[1:]) <= {ToolCall}
        is_empty = Text("") in step.parts
        if not is_plain or is_empty or (kinds == [Text] and step is not steps[-1]):
            return False
    return True


def _plain_steps(columns: StepColumns) -> Iterator[Step]:
    start = 0
    for _, group in groupby(columns.tool_calls or [], key=lambda call: call["step"]):
        calls = list(group)
        end = calls[0]["text_end"]
        yield Step([*_text(columns.content, start, end), *map(_call, calls)])
        start = end
    if last_text := _text(columns.content, start, len(columns.content)):
        yield Step([*last_text])


def _text(content: str, start: int, end: int) -> list[Text]:
    text = content[start:end]
    text = text.removeprefix(SEPARATOR) if start else text
    return [Text(text)] if text else []


def _all_steps(columns: StepColumns, steps: list[list[dict[str, Any]]]) -> Iterator[Step]:
    calls = iter(columns.tool_calls or [])
    start = 0
    for parts in steps:
        step = Step()
        # The beginnings of the texts that sources may belong to.
        starts = list[int]()
        for part in parts:
            match part["type"]:
                case "text":
                    start += len(SEPARATOR) if start else 0
                    starts.append(start)
                    step.parts.append(Text(columns.content[start : start + part["chars"]]))
                    start += part["chars"]
                case "call":
                    step.parts.append(_call(next(calls)))
                case name:
                    step.parts.append(_whole(name, part))
        _cite(step, starts)
        yield step


def _cite(step: Step, starts: list[int]) -> None:
    """Give each text of a step the citations that its end in the stream has.

    Those are of the sources that came before the part which ended the text.
    """
    sources, texts = list[Source](), iter(starts)
    text, start = Text(""), 0
    for part in [*step.parts, Text("")]:
        if isinstance(part, Source):
            sources.append(part)
        elif isinstance(part, Text | Reasoning | ToolCall):
            text.citations = citations_in(text.text, start, sources)
            if isinstance(part, Text):
                text, start = part, next(texts, 0)
            else:
                text = Text("")


def _whole(name: str, stored: dict[str, Any]) -> Reasoning | Source | File | Data:
    fields = {key: value for key, value in stored.items() if key != "type"}
    return WHOLE[name](**fields)


def shown_part(stored: dict[str, Any]) -> Source | File | Data | None:
    """Return a part that a tool has shown; None: it is of another type.

    Args:
        stored: the part, as `stored_part` returns it.
    """
    part = _whole(stored["type"], stored) if stored["type"] in WHOLE else None
    return None if isinstance(part, Reasoning) else part


def stored_part(part: Part) -> dict[str, Any]:
    """Return a part as `steps` stores it."""
    match part:
        case Text(text):
            return {"type": "text", "chars": len(text)}
        case ToolCall():
            return {"type": "call"}
        case Reasoning() | Source() | File() | Data():
            fields = {name: value for name, value in asdict(part).items() if value is not None}
            return {"type": TYPES[type(part)]} | fields
        case _:
            assert_never(part)


def _call(stored: dict[str, Any]) -> ToolCall:
    return ToolCall(
        id=stored["id"],
        name=stored["name"],
        arguments=stored["arguments"],
        output=stored.get("output"),
        error=stored.get("error"),
        is_provider_executed=stored.get("provider_executed", False),
    )
