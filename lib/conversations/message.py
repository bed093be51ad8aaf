"""Messages: a row of `chat_messages`, and the AI SDK `UIMessage` that a client sees."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from lib.conversations.steps import steps_of


# Not frozen, and in the order of the statements' columns: a page has up to 200 rows
# (lib/database/_rows.py).
@dataclass(slots=True)
class Message:
    """A row of `chat_messages`; the migration says what each column means."""

    id: int
    conversation_id: UUID
    message_id: str
    role: str
    content: str
    created_at: datetime
    updated_at: datetime
    reply_to: int | None = None
    finish_reason: str | None = None
    model_name: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tool_calls: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    files: list[dict[str, Any]] | None = None
    persona: str | None = None
    tone: str | None = None
    behavior: str | None = None
    context_type: str | None = None
    confidence: float | None = None
    signal_strength: float | None = None
    context_clarity: bool | None = None
    needs_knowledge: bool = False
    is_mistake: bool = False
    mistake_note: str | None = None
    superseded_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the AI SDK `UIMessage` (id, role, parts, metadata) with the columns beside it.

        Fit for `useChat({messages})` as it is: ids are text, and a part has no field that is null,
        which the SDK's own check refuses.
        """
        columns = {name: getattr(self, name) for name in COLUMNS}
        return {
            "id": self.message_id,
            "role": self.role,
            "parts": [*self._text_parts(), *self._file_parts()],
            "metadata": self.ui_metadata(),
        } | columns

    def _text_parts(self) -> Iterator[dict[str, Any]]:
        """Yield the parts of what was said and called; with calls, each step begins with a part."""
        for step in steps_of(self.content, self.tool_calls):
            if self.tool_calls:
                yield {"type": "step-start"}
            if step.text:
                yield {"type": "text", "text": step.text}
            for call in step.calls:
                shown = {"type": f"tool-{call.name}", "toolCallId": call.id}
                if call.error is not None:
                    outcome = {"state": "output-error", "errorText": call.error}
                else:
                    outcome = {"state": "output-available", "output": call.output}
                yield shown | outcome | {"input": call.arguments}

    def _file_parts(self) -> Iterator[dict[str, Any]]:
        for file in self.files or []:
            yield {"type": "file"} | file

    def ui_metadata(self) -> dict[str, Any]:
        """Return the metadata that the page sees: the same in the stream and in history."""
        if self.role != "assistant":
            return self.metadata or {}
        columns = {name: getattr(self, name) for name in ANSWER_METADATA}
        return columns | {"finish_reason": self.client_finish_reason}

    @property
    def client_finish_reason(self) -> str | None:
        """Why the answer ended, in the provider's words: one cut at the deadline was too long."""
        return "length" if self.finish_reason == "timeout" else self.finish_reason


ANSWER_METADATA = (
    "conversation_id",
    "finish_reason",
    "model_name",
    "prompt_tokens",
    "completion_tokens",
)
# Beside the UIMessage: all but the row's own number, and what is named or built otherwise.
COLUMNS = tuple(
    each.name
    for each in fields(Message)
    if each.name not in {"id", "message_id", "role", "metadata", "files", "reply_to"}
)
