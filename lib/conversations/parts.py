"""The parts of an answer's step, in the order in which they came: texts, thoughts, tool calls, …

Each has four forms: stored (`lib/conversations/steps.py`), as a part of the AI SDK's `UIMessage`
(`lib/conversations/ui_parts.py`), as events of a stream (`lib/streams/parts.py`), and as the
provider is told (`lib/answers/_prompt.py`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Text:
    """A text of the answer.

    Attributes:
        text: in Markdown; never empty.
        citations: passages of it, and the source of each; see `citations_in`.
    """

    text: str
    citations: "tuple[Citation, ...]" = ()


@dataclass(slots=True)
class Reasoning:
    """What the model thought before it went on; it is no part of the answer's text.

    Attributes:
        text: in Markdown; never empty.
    """

    text: str


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """A tool call and its outcome.

    Attributes:
        id: the model's id of the call; Parley's own where the model gave none or repeated one.
        name: the tool.
        arguments: by name.
        output: the tool's result; meaningful only without an error.
        error: why there is no result, in words for the model; None: there is a result.
        is_provider_executed: the provider has run it itself. The model is not told of it as of a
            call: the provider's own state has it.
        state: see `lib.model.request.PromptCall`; None: the call is another model's.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str | None = None
    is_provider_executed: bool = False
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
            text_end: characters of the answer's text before the call.
        """
        outcome = {"error": self.error} if self.error is not None else {"output": self.output}
        call = {"id": self.id, "name": self.name, "arguments": self.arguments}
        own = {"provider_executed": True} if self.is_provider_executed else {}
        return call | outcome | own | {"step": step, "text_end": text_end}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source that the answer cites: a page, or a document without an address.

    Attributes:
        id: tells it from the other sources of the answer.
        url: http or https; None: a document.
        title: of the page or the document; None: unknown.
        media_type: of a document; None: unknown.
        filename: of a document; None: unknown.
        start: where the passage begins that it belongs to, in characters of the answer's whole text
            (the column `content`, as `text_end` of a tool call counts them); None: it belongs to
            the whole answer.
        end: where the passage ends; None likewise.
    """

    id: str
    url: str | None = None
    title: str | None = None
    media_type: str | None = None
    filename: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage of a text, and its source.

    Attributes:
        source: the source.
        start: where the passage begins, in characters of the text.
        end: where it ends, at most the length of the text.
    """

    source: Source
    start: int
    end: int


def citations_in(text: str, start: int, sources: Iterable[Source]) -> tuple[Citation, ...]:
    """Return the passages of a text that have a source.

    Args:
        text: one text of an answer.
        start: where it begins, in characters of the answer's whole text.
        sources: of the answer; those that belong elsewhere are left out.
    """
    return tuple(
        Citation(source, source.start - start, min(source.end - start, len(text)))
        for source in sources
        if source.start is not None and source.end is not None
        # The provider's count of characters may be another one, and lead beyond the text.
        if start <= source.start < start + len(text)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that the model or a tool has made.

    Attributes:
        url: where the page gets it.
        media_type: its type.
        filename: None: it has no name.
    """

    url: str
    media_type: str
    filename: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Something that a tool shows on the page, which knows how.

    Attributes:
        name: the part's type is `data-` and this name.
        data: any JSON.
        id: a part with the same id takes the place of the one before; None: it stands alone.
    """

    name: str
    data: Any = None
    id: str | None = None


type Part = Text | Reasoning | ToolCall | Source | File | Data
