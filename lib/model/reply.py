"""An answer as any dialect of the API describes it."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

# Why a model ended its answer, by the API's description; "other" stands for all other reasons.
ModelFinishReason = Literal["stop", "length", "content_filter", "tool_calls", "other"]
FINISH_REASONS = frozenset(get_args(ModelFinishReason))


@dataclass(slots=True)
class Reply:
    """The facts about an answer beside its text, collected while it streams.

    Attributes:
        finish_reason: why the model ended its answer; None: it has not.
        model_name: the provider's name of the model.
        prompt_tokens: the provider's count; None: unknown.
        completion_tokens: likewise.
        state: fields of the reply that must go back to the provider with it, under the names that
            the dialect gives them (`AssistantMessage.state`); None: there are none.
    """

    finish_reason: ModelFinishReason | None = None
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    state: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call.

    Attributes:
        index: position of the call among those of this reply.
        id: the call's id; '' except in the call's first piece, and always '' with some providers.
        name: the tool's name; '' except in the call's first piece.
        arguments: more of the arguments' text.
        state: fields of the call that must go back to the provider with it, its own id among them;
            None: this piece has none.
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


# A `str` is a piece of the answer's text: most pieces are, and each costs time.
type Piece = str | ReasoningPiece | CallPiece


class GarbledStreamError(Exception):
    """The provider's stream breaks the description of its API. Never holds the stream's content."""
