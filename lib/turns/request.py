"""A chat request, whichever form the client sends it in."""

from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["casual", "technical"]
Behavior = Literal["normal", "cautious"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The style of an answer; a field that is None leaves it to the model.

    Attributes:
        persona: a name of PERSONAS.
        tone: see `lib/answers/_prompt.py` for the instruction of each.
        behavior: likewise.
    """

    persona: str | None = None
    tone: Tone | None = None
    behavior: Behavior | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A message to answer, or an answer to make again.

    Attributes:
        chat_id: the client's id of the conversation; None: a new conversation.
        chat_id_field: the field that carried `chat_id`.
        message_id: id of the user message; None: only with `regenerates`, the last one.
        text: the message's text; None when `message_id` is.
        replaced_message_id: the user message that this one replaces, where that has another id.
        regenerates: answer the question again, though it has an answer.
        answer_message_id: with `regenerates`, the answer to replace; None: the last one.
        wants_stream: respond with a UI message stream, not JSON.
        files: the message's files, as AI SDK `file` parts without their type; None: it has none.
        steps: the order of the message's parts, and its data (`stored_user_parts`); None: it is one
            text, and then files.
        metadata: stored with the message and returned with it.
        style: the style of the answer.
        model: name of the model to ask; None: the default one.
        reasoning_effort: how much it is to think; None: as its entry says.
        tool_choice: the tool that the model must call first; None: the model chooses.
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
    steps: list[list[dict[str, Any]]] | None = None
    metadata: dict[str, Any] | None = None
    style: Style = field(default_factory=Style)
    model: str | None = None
    reasoning_effort: str | None = None
    tool_choice: str | None = None
