"""What is answered: a model for each kind of thing, named as in the description."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Answered(BaseModel):
    """A part of an answer: its docstrings are what the description says of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


Percentage = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
ClientId = Annotated[str, Field(min_length=1, max_length=255)]
type ConversationStatus = Literal["active", "archived"]
type FinishReason = Annotated[
    Literal[
        "stop",
        "length",
        "content_filter",
        "tool_calls",
        "other",
        "aborted",
        "timeout",
        "error",
        "interrupted",
    ],
    Field(
        description="Why an answer ended: the model's reason, or `aborted` (stopped), `timeout` "
        "(cut before the deadline), `error` (the model failed), `interrupted` (the function was "
        "killed)."
    ),
]


class Conversation(Answered):
    """A conversation."""

    id: UUID
    title: str | None
    status: ConversationStatus
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ConversationSummary(Conversation):
    """A conversation, with what is in it."""

    message_count: Count
    last_message: str | None
    """The beginning of the last message."""


class FoundConversation(Conversation):
    """A conversation that a search has found."""

    excerpt: str
    """Where the words stand: HTML in which `<mark>` is all that is not escaped."""


class ConversationPage(Answered):
    """One page of conversations: summaries, or what a search has found."""

    conversations: list[ConversationSummary | FoundConversation]
    next_cursor: str | None
    """Leads to the next page, as `cursor`; null: this is the last."""


class TextPart(Answered):
    """Text that was said."""

    type: Literal["text"]
    text: str


class FilePart(Answered):
    """An image of a user message."""

    type: Literal["file"]
    mediaType: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]  # noqa: N815 (SDK's)
    url: str
    filename: str = ""


class StepStartPart(Answered):
    """The beginning of a step of an answer that has called tools."""

    type: Literal["step-start"]


class ToolCalled(Answered):
    """A tool that was called; `type` is `tool-` and its name."""

    type: Annotated[str, Field(pattern="^tool-")]
    toolCallId: str  # noqa: N815 (the SDK's own names)
    input: dict[str, Any]


class ToolResultPart(ToolCalled):
    """A tool that was called, and what it returned; `type` is `tool-` and its name."""

    state: Literal["output-available"]
    output: Any


class ToolErrorPart(ToolCalled):
    """A tool that was called, and why it returned nothing; `type` is `tool-` and its name."""

    state: Literal["output-error"]
    errorText: str  # noqa: N815 (the SDK's own name)


class AnswerMetadata(Answered):
    """What the AI SDK's `metadata` of an answer holds."""

    conversation_id: UUID
    finish_reason: FinishReason | None
    """As in the message, but `length` for `timeout`."""
    model_name: str | None
    prompt_tokens: Count | None
    completion_tokens: Count | None


class ToolResult(Answered):
    """A tool call as it is stored: `output` or `error` is there."""

    id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str = ""
    step: Count
    """Number of the step that it was made in."""
    text_end: Count
    """Characters of `content` up to the end of that step."""


class StoredMessage(Answered):
    """An AI SDK `UIMessage`, with the stored columns beside."""

    id: ClientId
    conversation_id: UUID
    content: str
    """The whole text; the steps of an answer have an empty line between."""
    finish_reason: FinishReason | None
    model_name: str | None
    prompt_tokens: Count | None
    completion_tokens: Count | None
    tool_calls: list[ToolResult] | None
    persona: str | None
    tone: Literal["casual", "technical"] | None
    behavior: Literal["normal", "cautious"] | None
    context_type: str | None
    confidence: Percentage | None
    signal_strength: Percentage | None
    context_clarity: bool | None
    needs_knowledge: bool
    is_mistake: bool
    mistake_note: str | None
    superseded_at: AwareDatetime | None
    """When it was edited or answered anew; null: it counts."""
    created_at: AwareDatetime
    updated_at: AwareDatetime


class UserMessage(StoredMessage):
    """A message of the user; or of the system, whose text the operator has written."""

    role: Literal["user", "system"]
    parts: list[Annotated[TextPart | FilePart, Field(discriminator="type")]]
    metadata: dict[str, Any]
    """What was sent with it."""


class AssistantMessage(StoredMessage):
    """An answer."""

    role: Literal["assistant"]
    parts: list[TextPart | StepStartPart | ToolResultPart | ToolErrorPart]
    metadata: AnswerMetadata


type Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]


class ChatAnswer(Answered):
    """A question, and its answer."""

    conversation_id: UUID
    user_message: UserMessage
    message: AssistantMessage
    finish_reason: FinishReason | None


class HistoryPage(Answered):
    """One page of a conversation, oldest first."""

    conversation: Conversation
    messages: list[Message]
    next_cursor: str | None
    """Leads to the page before this one, as `before`; null: this is the first."""


class Question(Answered):
    """What an answer was given to."""

    id: ClientId
    content: str


class Mistake(AssistantMessage):
    """An answer that is marked as a mistake."""

    question: Question | None
    """Null: it is gone."""


class MistakePage(Answered):
    """One page of answers that are marked as mistakes, newest first."""

    messages: list[Mistake]
    next_cursor: str | None
    """Leads to the next page, as `cursor`; null: this is the last."""


class ExampleTurn(Answered):
    """A message of an example."""

    role: Literal["user", "assistant"]
    content: str
    weight: Literal[0] = 0
    """Of the answer: it is not learnt from as it is."""


class MistakeExample(Answered):
    """A line of the chat fine-tuning format."""

    messages: Annotated[list[ExampleTurn], Field(min_length=2, max_length=2)]
    mistake_note: str | None


class Usage(Answered):
    """What the answers of one day by one model have cost."""

    model_name: str | None
    day: date
    messages: Count
    prompt_tokens: Count
    completion_tokens: Count


class UsageReport(Answered):
    """What answers have cost, by day and model."""

    first_day: Annotated[date, Field(alias="from")]
    to: date
    usage: list[Usage]


class Task(Answered):
    """A task."""

    id: Count
    title: str
    description: str
    completed: bool
    created_at: AwareDatetime
    updated_at: AwareDatetime


class TaskPage(Answered):
    """One page of tasks, newest first."""

    tasks: list[Task]
    next_cursor: str | None
    """Leads to the next page, as `cursor`; null: this is the last."""


class User(Answered):
    """Who has signed in."""

    id: str
    email: str
    name: str | None


class SignedIn(Answered):
    """An account's token."""

    token: str
    expires_at: AwareDatetime
    user: User


class ExportRow(Answered):
    """A line of the export: a row of the database, with its columns beside `type`."""

    model_config = ConfigDict(extra="allow")
    type: Literal[
        "user",
        "quota",
        "conversation",
        "message",
        "task",
        "tool_run",
        "stream_batch",
        "finished_stream",
    ]


class ExportEnd(Answered):
    """The last line of the export. Without it, or with `complete` false, it was cut."""

    type: Literal["end"]
    complete: bool
    code: str = ""
    detail: str = ""


type ExportLine = ExportRow | ExportEnd


class CleanUpReport(Answered):
    """What a clean-up has deleted, or would delete."""

    deleted: Count
    """Messages."""
    conversations_deleted: Count
    batches: Count
    remaining: bool
    """Time was over first, or somebody held some of it."""
    seconds: Annotated[float, Field(ge=0)]
