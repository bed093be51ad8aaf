"""Messages: a row of `chat_messages`, and the AI SDK `UIMessage` that a client sees."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from lib.conversations.steps import StepColumns, steps_of
from lib.conversations.ui_parts import ui_parts
from lib.conversations.user_parts import user_ui_parts
from lib.identity.file_links import plain_link, signed_link

# As the columns allow them (chk_message_role, chk_finish_reason).
Role = Literal["user", "assistant", "system"]
FinishReason = Literal[
    "stop",
    "length",
    "content_filter",
    "tool_calls",
    "other",
    "aborted",
    "timeout",
    "error",
    "interrupted",
]
# Of the note of a mistake, as chk_mistake_note_length allows.
MAX_NOTE_CHARS = 1000


# Not frozen, and in the order of the statements' columns, because that makes rows faster
# (lib/database/_rows.py) and a page has up to 200.
@dataclass(slots=True)
class Message:
    """A row of find_message and list_turn_messages, and with its conversation of read_history.

    Its fields are columns of `chat_messages`, which COMMENT ON explains in the migrations.
    """

    id: int
    conversation_id: UUID
    message_id: str
    role: Role
    content: str
    created_at: datetime
    updated_at: datetime
    reply_to: int | None = None
    finish_reason: FinishReason | None = None
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
    refusal: str | None = None
    steps: list[list[dict[str, Any]]] | None = None
    reasoning_tokens: int | None = None
    reasoning_seconds: float | None = None
    model: str | None = None
    requested_model: str | None = None
    cached_tokens: int | None = None
    # Of list_turn_messages alone: it may be long, and no client sees it.
    provider_state: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the AI SDK `UIMessage` (id, role, parts, metadata) with the columns beside it.

        It goes into `useChat({messages})` unchanged: ids are text, and no part has a null field,
        which the SDK's own check refuses.
        """
        columns = {name: getattr(self, name) for name in COLUMNS}
        if self.role != "assistant":
            # Those of a question are the cost of its attempts and titles, which GET
            # /api/messages?usage=true shows.
            columns |= {"prompt_tokens": None, "completion_tokens": None}
        return {
            "id": self.message_id,
            "role": self.role,
            "parts": [*self._parts()],
            "metadata": self.ui_metadata(),
        } | columns

    def _parts(self) -> Iterator[dict[str, Any]]:
        if self.role == "assistant":
            yield from ui_parts(steps_of(self.step_columns))
        else:
            yield from user_ui_parts(self.content, self._file_parts(), self.steps)

    @property
    def step_columns(self) -> StepColumns:
        """The columns that tell an answer's steps."""
        return StepColumns(self.content, self.tool_calls, self.steps)

    def _file_parts(self) -> Iterator[dict[str, Any]]:
        """Yield the files of a user's message; a stored one by its link."""
        for file in self.files or []:
            if "id" not in file:
                yield {"type": "file"} | file
                continue
            link = signed_link(plain_link(file["id"], self.conversation_id))
            named = {name: file[name] for name in ("mediaType", "filename") if name in file}
            yield {"type": "file", "url": link} | named

    def ui_metadata(self) -> dict[str, Any]:
        """Return the metadata that clients see, the same in the stream and in history."""
        if self.role != "assistant":
            return self.metadata or {}
        columns = {name: getattr(self, name) for name in ANSWER_METADATA}
        return columns | {"finish_reason": self.client_finish_reason}

    @property
    def client_finish_reason(self) -> FinishReason | None:
        """The finish reason in a provider's words: an answer cut at the deadline was too long."""
        return "length" if self.finish_reason == "timeout" else self.finish_reason


ANSWER_METADATA = (
    "conversation_id",
    "finish_reason",
    "model",
    "requested_model",
    "model_name",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "reasoning_seconds",
)
# The columns that stand beside the UIMessage. Its own fields carry the others (`parts` the steps),
# but for those that clients do not see: `id` and `reply_to`, the numbers of rows, and the
# provider's state.
COLUMNS = tuple(
    column.name
    for column in fields(Message)
    if column.name
    not in {"id", "message_id", "role", "metadata", "files", "reply_to", "steps", "provider_state"}
)
