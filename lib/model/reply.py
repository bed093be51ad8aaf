"""An answer as any dialect of the API describes it."""

from dataclasses import dataclass, field
from typing import Any, Literal, cast

# Why a model ended its answer, by the API's description; "other" stands for all other reasons.
ModelFinishReason = Literal["stop", "length", "content_filter", "tool_calls", "other"]


@dataclass(slots=True)
class Reply:
    """The facts about an answer beside its text, collected while it streams.

    Attributes:
        finish_reason: why the model ended its answer; None: it has not.
        model_name: the provider's name of the model.
        prompt_tokens: the provider's count; None: unknown.
        completion_tokens: likewise.
        cached_tokens: those of `prompt_tokens` that the provider read from its cache; None:
            unknown.
        reasoning_tokens: those of `completion_tokens` with which the model thought; None: unknown.
        state: fields of the reply that must go back to the provider with it, under the names that
            the dialect gives them (`AssistantMessage.state`); None: there are none, or the reply
            was cut.
        left_out_count: pictures and sounds that cannot be read, or are links.
    """

    finish_reason: ModelFinishReason | None = None
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    state: dict[str, Any] | None = None
    left_out_count: int = 0


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call.

    Attributes:
        index: position of the call among those of this reply.
        id: the call's id; '' except in the call's first piece, and always '' with some providers.
        name: the tool's name; '' except in the call's first piece.
        arguments: more of the arguments' text.
        state: fields of the call that must go back to the provider with it, its own id among them;
            None: this piece has none. See `merged_state` for a call of several pieces.
    """

    index: int
    id: str
    name: str
    arguments: str
    state: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePiece:
    """A source that the reply cites: a page, or a document without an address.

    Attributes:
        url: http or https; None: a document.
        title: None: unknown; a document has one.
        media_type: of a document; None: unknown.
        filename: of a document; None: unknown.
        start: where the passage begins that it belongs to, in characters of the reply's text (the
            pieces that are texts, one after the other); None: it belongs to the whole reply.
        end: where the passage ends; None likewise.
    """

    url: str | None = None
    title: str | None = None
    media_type: str | None = None
    filename: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedCallPiece:
    """A tool that the provider itself runs begins, or is over.

    Attributes:
        key: tells the run from the others of this reply.
        name: the tool's.
        arguments: by name; {} as long as they have not come.
        output: its result, as far as the provider tells it; None: it is not over, or has failed.
        error: why there is no result; None: there is one, or it is not over.
    """

    key: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    output: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A picture that the model has made, whole; its first bytes tell its type."""

    data: bytes


# A `str` is a piece of the answer's text: most pieces are, and each costs time.
type Piece = str | ReasoningPiece | CallPiece | SourcePiece | HostedCallPiece | FilePiece


class GarbledStreamError(Exception):
    """The provider's stream breaks the description of its API. Never holds the stream's content."""


class ProviderError(Exception):
    """The provider reports an error inside a response that began with 200.

    Attributes:
        error: the error object, as it was sent.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        """Take the error object."""
        super().__init__("the provider reports an error in the stream")
        self.error = error


def merged_state(state: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Return a call's state with that of its next piece; of two ids, the first one counts."""
    if not state:
        return more
    merged = dict(state)
    for name, value in more.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = merged_state(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
        elif name != "id" or old is None:
            merged[name] = value
    return merged
