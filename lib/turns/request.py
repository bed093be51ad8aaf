"""What is asked for: a message to be answered, or an answer to be made again."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How an answer is to be; None: as the model likes.

    Attributes:
        persona: the name of a persona, of letters, digits, spaces and hyphens.
        tone: one of TONES.
        behavior: one of BEHAVIORS.
    """

    persona: str | None = None
    tone: str | None = None
    behavior: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A message to be answered, or an answer to be made again.

    Attributes:
        chat_id: what the client calls the conversation; None: a new one.
        chat_id_field: the name that it was sent under.
        message_id: id of the user message; None: only with `regenerates`, the last one.
        text: its text; None when `message_id` is.
        replaced_message_id: the user message that this one replaces, where that has another id.
        regenerates: answer the question again, though it is answered.
        answer_message_id: with `regenerates`, the answer to replace; None: the last one.
        wants_stream: the answer is to be a UI message stream, not JSON.
        files: the message's files, as AI SDK `file` parts without their type; None: it has none.
        metadata: kept with the message, and given back.
        style: how the answer is to be.
        tool_choice: the tool that the model must call first; None: it chooses.
    """

    chat_id: str | None = None
    chat_id_field: str = "conversation_id"
    message_id: str | None = None
    text: str | None = None
    replaced_message_id: str | None = None
    regenerates: bool = False
    answer_message_id: str | None = None
    wants_stream: bool
    files: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    style: Style = field(default_factory=Style)
    tool_choice: str | None = None
