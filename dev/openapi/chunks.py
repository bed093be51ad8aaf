"""The parts of the AI SDK's UI message stream that Parley sends (lib/streams/parts.py)."""

# ruff: noqa: N815 (the names are the SDK's)
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from dev.openapi.answers import Answered, AnswerMetadata


class StartMetadata(Answered):
    """What is known of an answer at its beginning."""

    conversation_id: UUID


class StartChunk(Answered):
    """An answer begins; `messageId` is its id."""

    type: Literal["start"]
    messageId: str
    messageMetadata: StartMetadata


class StartStepChunk(Answered):
    """The model is asked, or asked again after tools were called."""

    type: Literal["start-step"]


class TextStartChunk(Answered):
    """Text begins."""

    type: Literal["text-start"]
    id: str


class TextDeltaChunk(Answered):
    """A piece of text."""

    type: Literal["text-delta"]
    id: str
    delta: str


class TextEndChunk(Answered):
    """Text ends."""

    type: Literal["text-end"]
    id: str


class ToolInputStartChunk(Answered):
    """A tool is called, with what is being said."""

    type: Literal["tool-input-start"]
    toolCallId: str
    toolName: str


class ToolInputDeltaChunk(Answered):
    """A piece of what a tool is called with, as JSON text."""

    type: Literal["tool-input-delta"]
    toolCallId: str
    inputTextDelta: str


class ToolInputAvailableChunk(Answered):
    """What a tool is called with."""

    type: Literal["tool-input-available"]
    toolCallId: str
    toolName: str
    input: dict[str, Any]


class ToolOutputAvailableChunk(Answered):
    """What a tool has returned."""

    type: Literal["tool-output-available"]
    toolCallId: str
    output: Any


class ToolOutputErrorChunk(Answered):
    """Why a tool has returned nothing."""

    type: Literal["tool-output-error"]
    toolCallId: str
    errorText: str


class ConversationTitle(Answered):
    """A conversation's new title."""

    id: UUID
    title: str


class ConversationChunk(Answered):
    """The conversation has got its title by the model; this is no part of the message."""

    type: Literal["data-conversation"]
    data: ConversationTitle
    transient: Literal[True]


class FinishStepChunk(Answered):
    """A step is over."""

    type: Literal["finish-step"]


class FinishChunk(Answered):
    """The answer is over, and stored."""

    type: Literal["finish"]
    finishReason: Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]
    messageMetadata: AnswerMetadata


class AbortChunk(Answered):
    """The answer was stopped; what there was is stored."""

    type: Literal["abort"]


class ErrorChunk(Answered):
    """The answer has failed, in words for the user."""

    type: Literal["error"]
    errorText: str


type UIMessageChunk = Annotated[
    StartChunk
    | StartStepChunk
    | TextStartChunk
    | TextDeltaChunk
    | TextEndChunk
    | ToolInputStartChunk
    | ToolInputDeltaChunk
    | ToolInputAvailableChunk
    | ToolOutputAvailableChunk
    | ToolOutputErrorChunk
    | ConversationChunk
    | FinishStepChunk
    | FinishChunk
    | AbortChunk
    | ErrorChunk,
    Field(discriminator="type"),
]
