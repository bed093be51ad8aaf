"""Answers: a model of each kind that lib builds without a class of its own."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from dev.openapi.problems import all_problems
from lib.conversations.conversation import Conversation
from lib.conversations.listing import ConversationDetails, ConversationSummary
from lib.conversations.usage import PricedUsage, UsageTotal
from lib.imports.drafts import Reason
from lib.operations.clean_up import CleanUpReport
from lib.operations.report import MetricsReport, Pool
from lib.users.own_settings import UserSettings
from lib.users.tasks import Task


class Answered(BaseModel):
    """A part of an answer; its docstrings are the texts of the description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


Percentage = Annotated[float, Field(ge=0, le=1)]
ClientId = Annotated[str, Field(min_length=1, max_length=255)]
ModelReason = Literal["stop", "length", "content_filter", "tool_calls", "other"]
type FinishReason = Annotated[
    Literal[ModelReason, "aborted", "timeout", "error", "interrupted"],
    Field(
        description="Why an answer ended: the model's reason, or `aborted` (stopped), `timeout` "
        "(cut before the deadline), `error` (the model failed), `interrupted` (the function was "
        "killed)."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundConversation(Conversation):
    """A conversation that a search has found.

    Attributes:
        excerpt: text around the words: HTML whose only markup is `<mark>`.
    """

    excerpt: str


class ConversationPage(Answered):
    """One page of conversations: summaries, or the results of a search."""

    conversations: list[ConversationSummary | FoundConversation]
    next_cursor: str | None
    """Leads to the next page, as `cursor`; null: this is the last."""


class TextPart(Answered):
    """Text of a message."""

    type: Literal["text"]
    text: str


class FilePart(Answered):
    """An image, a PDF document or a text of a user message."""

    type: Literal["file"]
    mediaType: Annotated[str, Field(pattern="^[^/]+/[^/]+$")]  # noqa: N815 (SDK's)
    """The file's own, in small letters and without parameters."""
    url: str
    filename: str = ""


class Place(Answered):
    """A passage, in characters of the answer's `content`."""

    start: int
    end: int


class SourceMetadata(Answered):
    """The field for a provider's own data, which has the place of a source."""

    parley: Place


class CitedPage(Answered):
    """The page that a citation means; `id` is the `sourceId` of its part."""

    type: Literal["source"]
    sourceType: Literal["url"]  # noqa: N815 (the SDK's own name)
    id: str
    url: str
    title: str = ""


class CitedDocument(Answered):
    """The document that a citation means; `id` is the `sourceId` of its part."""

    type: Literal["source"]
    sourceType: Literal["document"]  # noqa: N815 (the SDK's own names)
    id: str
    mediaType: str  # noqa: N815
    title: str
    filename: str = ""


class Citation(Answered):
    """A passage of a text, in UTF-16 code units, and its source."""

    source: CitedPage | CitedDocument
    startIndex: int  # noqa: N815 (the SDK's own names)
    endIndex: int  # noqa: N815


class AnswerTextPart(TextPart):
    """Text of an answer, in Markdown."""

    state: Literal["done"]
    citations: Annotated[list[Citation], Field(default=None, min_length=1)]
    """For version 7 of the SDK; 5 and 6 ignore it."""


class ReasoningPart(Answered):
    """What the model thought, in Markdown; it is no part of `content`."""

    type: Literal["reasoning"]
    id: str
    """Tells it from the other texts and thoughts of the answer."""
    text: str
    state: Literal["done"]


class SourceUrlPart(Answered):
    """A page that the answer cites."""

    type: Literal["source-url"]
    sourceId: str  # noqa: N815 (the SDK's own names)
    url: str
    title: str = ""
    providerMetadata: Annotated[SourceMetadata, Field(default=None)]  # noqa: N815


class SourceDocumentPart(Answered):
    """A document that the answer cites."""

    type: Literal["source-document"]
    sourceId: str  # noqa: N815 (the SDK's own names)
    mediaType: str  # noqa: N815
    title: str
    filename: str = ""
    providerMetadata: Annotated[SourceMetadata, Field(default=None)]  # noqa: N815


class AnswerFilePart(Answered):
    """A file that the model or a tool has made."""

    type: Literal["file"]
    mediaType: str  # noqa: N815 (the SDK's own name)
    url: str


class DataPart(Answered):
    """Data that the page has sent, or that a tool shows on it; `type` is `data-` and a name."""

    type: Annotated[str, Field(pattern="^data-")]
    id: str = ""
    data: Any


class StepStartPart(Answered):
    """The beginning of a step: the model was asked."""

    type: Literal["step-start"]


class ToolCalled(Answered):
    """A tool that was called; `type` is `tool-` and its name."""

    type: Annotated[str, Field(pattern="^tool-")]
    toolCallId: str  # noqa: N815 (the SDK's own names)
    input: dict[str, Any]
    providerExecuted: Annotated[Literal[True], Field(default=None)]  # noqa: N815
    """The provider has run it itself, as its search of the web."""


class ToolResultPart(ToolCalled):
    """A tool that was called, and its output; `type` is `tool-` and its name."""

    state: Literal["output-available"]
    output: Any


class ToolErrorPart(ToolCalled):
    """A tool that was called, and its error; `type` is `tool-` and its name."""

    state: Literal["output-error"]
    errorText: str  # noqa: N815 (the SDK's own name)


class AnswerMetadata(Answered):
    """The AI SDK's `metadata` of an answer."""

    conversation_id: UUID
    finish_reason: FinishReason | None
    """As in the message, but `length` for `timeout`."""
    model: str | None
    """The model that answered, as users see its name."""
    requested_model: str | None
    """The one that was asked for, if `model` stood in for it; null: none did."""
    model_name: str | None
    """The model that answered, as its provider names it."""
    prompt_tokens: int | None
    cached_tokens: int | None
    """Those of `prompt_tokens` that the provider read from its cache; null: unknown."""
    completion_tokens: int | None
    reasoning_tokens: int | None
    """Those of `completion_tokens` with which the model thought; null: unknown."""
    reasoning_seconds: float | None
    """How long the model's thoughts came; null: none came."""


class ToolResult(Answered):
    """A tool call as it is stored: `output` or `error` is there."""

    id: str
    name: str
    arguments: dict[str, Any]
    output: Any = None
    error: str = ""
    provider_executed: Annotated[Literal[True], Field(default=None)]
    """The provider has run it itself, as its search of the web."""
    step: int
    """Number of the step that it was made in."""
    text_end: int
    """Characters of `content` before the call."""


class StoredMessage(Answered):
    """An AI SDK `UIMessage`, with the stored columns beside."""

    id: ClientId
    conversation_id: UUID
    content: str
    """The whole text; the steps of an answer have an empty line between."""
    finish_reason: FinishReason | None
    model: str | None
    requested_model: str | None
    model_name: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    reasoning_seconds: float | None
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
    """When it was edited or answered again; null: it is current."""
    refusal: str | None
    """The problem for which the provider refused this message: later requests leave it out."""
    created_at: AwareDatetime
    updated_at: AwareDatetime


class UserMessage(StoredMessage):
    """A message of the user; or of the system, whose text the operator has written."""

    role: Literal["user", "system"]
    parts: list[Annotated[TextPart | FilePart, Field(discriminator="type")] | DataPart]
    """In the order in which the page sent them."""
    metadata: dict[str, Any]
    """As the client sent it."""


class AssistantMessage(StoredMessage):
    """An answer."""

    role: Literal["assistant"]
    parts: list[
        AnswerTextPart
        | ReasoningPart
        | SourceUrlPart
        | SourceDocumentPart
        | AnswerFilePart
        | DataPart
        | StepStartPart
        | ToolResultPart
        | ToolErrorPart
    ]
    metadata: AnswerMetadata


type Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]


class ModelPrices(Answered):
    """The prices of a model's tokens, in the operator's currency per million."""

    input: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)]
    """Of a token that the provider reads from its cache."""
    output: Annotated[float, Field(ge=0)]


class Model(Answered):
    """A model that the caller may choose by its name."""

    name: Annotated[str, Field(min_length=1)]
    is_default: bool
    """It answers where neither the message nor the conversation names another."""
    tools: bool
    """It calls Parley's tools."""
    files: list[Literal["images", "pdf"]]
    """The kinds of files that it reads beside text."""
    reasoning: bool
    """Its thoughts are asked for."""
    web_search: bool
    """Its provider may search the web."""
    reasoning_effort: str | None
    """How much it thinks; null: as its provider chooses."""
    reasoning_efforts: list[str]
    """Those that a message may choose instead."""
    messages_per_day: Annotated[int, Field(ge=0)]
    """Answers that the caller may ask it for in a day; 0: any number."""
    prices: ModelPrices | None
    """null: they are not known."""
    stand_in: str | None
    """The model that answers while its provider does not; null: none does."""


class ModelList(Answered):
    """The models that the caller may choose among; the one that answers without a choice first."""

    models: list[Model]


class ChatAnswer(Answered):
    """A question, and its answer."""

    conversation_id: UUID
    user_message: UserMessage
    message: AssistantMessage
    finish_reason: FinishReason | None
    conversation_key: str = ""
    """Of an anonymous caller that named no conversation: the key that opens it from now on."""


class NewConversation(Answered):
    """The id of a conversation that begins with its first message."""

    id: UUID
    key: str = ""
    """Opens the conversation, in the header x-conversation-key. A user needs none."""


class ImportCounts(Answered):
    """Rows of one kind."""

    new: int
    already_there: int
    left_out: int


class ImportLeftOut(Answered):
    """Rows or lines of one kind that were left out for the same reason."""

    kind: str
    """`conversation`, `message`, `file`, or the `type` of a line."""
    reason: Reason
    count: int
    detail: str
    """The reason, for people."""


class ImportReport(Answered):
    """What an import has stored, and what not."""

    conversations: ImportCounts
    messages: ImportCounts
    left_out: list[ImportLeftOut]


class HistoryPage(Answered):
    """One page of a conversation, oldest first."""

    conversation: Conversation
    messages: list[Message]
    next_cursor: str | None
    """Leads to the page before this one, as `before`; null: this is the first."""


class Question(Answered):
    """The message that led to an answer."""

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
    """Of the answer: fine-tuning must not learn it as it is."""


class MistakeExample(Answered):
    """A line of the chat fine-tuning format."""

    messages: Annotated[list[ExampleTurn], Field(min_length=2, max_length=2)]
    mistake_note: str | None


class Upload(Answered):
    """The state of an upload."""

    id: UUID
    """Of the upload; when it is complete, of the file, which is another id."""
    url: str | None
    """The link for a message's `file` part, which opens the file, too; null: not complete."""
    media_type: str
    """The type for that part: as given, or what the ending of the name tells."""
    size: int
    """Bytes of the whole file."""
    received: int
    """Bytes that have come: the `offset` of the next piece."""


class UsageReport(Answered):
    """The tokens of all requests to the model and their cost, by day and model."""

    first_day: Annotated[date, Field(alias="from")]
    to: date
    usage: list[PricedUsage]
    total: UsageTotal


class TaskPage(Answered):
    """One page of tasks, newest first."""

    tasks: list[Task]
    next_cursor: str | None
    """Leads to the next page, as `cursor`; null: this is the last."""


class User(Answered):
    """The user that has signed in."""

    id: str
    email: str
    name: str | None


class Registered(Answered):
    """The answer to every registration, whether the address was free or taken."""

    status: Literal["registered"]


class SignedIn(Answered):
    """An account's token."""

    token: str
    expires_at: AwareDatetime
    user: User


ExportedRow = Literal[
    "user",
    "quota",
    "known_network",
    "user_settings",
    "conversation",
    "message",
    "task",
    "tool_run",
    "stream_batch",
    "finished_stream",
    "summary",
    "file",
    "file_bytes",
]


class ExportRow(Answered):
    """A line of the export: a row of the database, with its columns beside `type`."""

    model_config = ConfigDict(extra="allow")
    type: ExportedRow


class ExportCursor(Answered):
    """A line between rows: where to go on, if the connection breaks before the next such line."""

    type: Literal["cursor"]
    cursor: str


class ExportEnd(Answered):
    """The last line. With `complete` false the rest is missing: `cursor` goes on with it."""

    type: Literal["end"]
    complete: bool
    cursor: str = ""
    code: str = ""
    detail: str = ""


type ExportLine = ExportRow | ExportCursor | ExportEnd


class DatabaseHealth(Answered):
    """The database, as one process sees it."""

    migration: str
    """The newest migration."""
    pool: Pool


class Health(Answered):
    """The process answers, and so does the database, which `live` leaves out."""

    status: Literal["ok", "degraded"]
    """`degraded`: requests are answered, but there are `warnings`."""
    version: str
    database: Annotated[DatabaseHealth, Field(default=None)]
    warnings: Annotated[list[str], Field(default=None)]
    """What does not work, and the variables to set."""


class FieldError(Answered):
    """The error of one field."""

    field: str
    detail: str


type ProblemCode = Annotated[
    str,
    Field(
        description="The kind of problem: stable, for programs.",
        json_schema_extra={"enum": [*sorted(each.code for each in all_problems())]},
    ),
]


class Problem(Answered):
    """Problem details (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    """The status in words."""
    status: Annotated[int, Field(ge=400, le=599)]
    code: ProblemCode
    detail: str
    """The error and its remedy, for people."""
    request_id: str
    """The same as in the log."""
    errors: Annotated[list[FieldError], Field(default=None, min_length=1)]
    """With `invalid_request`: each field that is not valid."""


type ConversationOrPage = ConversationDetails | ConversationPage
type MistakesOrUsage = MistakePage | UsageReport
ANSWERS = (
    ChatAnswer,
    ModelList,
    NewConversation,
    ImportReport,
    HistoryPage,
    ConversationOrPage,
    ExportLine,
    MistakesOrUsage,
    MistakeExample,
    TaskPage,
    Upload,
    UserSettings,
    Registered,
    SignedIn,
    CleanUpReport,
    Health,
    MetricsReport,
    Problem,
)
