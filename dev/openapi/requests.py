"""The bodies of requests: lib's models, narrowed to the values that their validators let through.

Rules between several fields stay in words; a body that breaks one is answered 422.
"""

# ruff: noqa: D101 (lib's models have the docstrings)
# Each type is narrower than lib's:
# pyright: reportIncompatibleVariableOverride=false

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.chat import forms
from lib.conversations import bodies as conversations
from lib.conversations.conversation import ConversationStatus
from lib.http.validation import Storable
from lib.tools import tools
from lib.users import bodies as users

# Text with more than spaces, and without NUL.
WORDS = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
FILE_URL = (
    r"^(https://[a-z0-9\[]|/api/files\?id=[0-9a-f-]{36}"
    r"|data:[^,]{0,300}?;base64,[A-Za-z0-9+/]+={0,2}$)"
)
# The default of MAX_MESSAGE_CHARS.
MOST_MESSAGE_CHARS = 10_000

# May be left out, which is not null.
OPTIONAL: Any = Field(default=None)
ToolName = Annotated[str, Field(json_schema_extra={"enum": [*sorted(tools())]})]
Persona = Annotated[
    str, Field(min_length=1, max_length=64, description="A name of the operator's `PERSONAS`.")
]
NewPassword = Annotated[
    Storable,
    Field(
        min_length=users.MIN_PASSWORD_CHARS,
        max_length=users.MAX_PASSWORD_BYTES,
        json_schema_extra={"format": "password"},
    ),
]
CurrentPassword = Annotated[users.CurrentPassword, Field(json_schema_extra={"format": "password"})]
TaskTitle = Annotated[users.Title, Field(json_schema_extra={"pattern": WORDS})]


def _any_of(*names: str, absent: Any) -> ConfigDict:  # noqa: ANN401 (JSON)
    """Require that at least one of some fields is present, by the schema of an absent one."""
    return ConfigDict(json_schema_extra={"not": {"properties": dict.fromkeys(names, absent)}})


class SentDataPart(forms.DataPart):
    data: Any


class PlainChatRequest(forms.PlainForm):
    message: Annotated[str, Field(min_length=1, max_length=MOST_MESSAGE_CHARS, pattern=WORDS)]
    data: Annotated[list[SentDataPart], Field(max_length=forms.MAX_DATA_PARTS)] | None = None
    persona: Persona | None = None
    tool_choice: ToolName | None = None


class SentTextPart(forms.TextPart):
    type: Literal["text"]


class SentFilePart(forms.FilePart):
    url: Annotated[str, Field(pattern=FILE_URL)]


class SentUserMessage(forms.UserMessage):
    parts: Annotated[
        list[Annotated[SentTextPart | SentFilePart, Field(discriminator="type")] | SentDataPart],
        Field(max_length=forms.MAX_PARTS),
    ]


class SentOtherMessage(BaseModel):
    """An answer, as the page has it. It is not read: the server has its own."""

    role: Literal["assistant"]


type SentMessage = Annotated[SentUserMessage | SentOtherMessage, Field(discriminator="role")]


class UIChatRequest(forms.SdkForm):
    model_config = _any_of("messages", "message", absent={"type": "null"})
    messages: list[SentMessage] | None = None
    message: SentMessage | None = None
    persona: Persona | None = None
    tool_choice: ToolName | None = None


type ChatRequest = PlainChatRequest | UIChatRequest


class ConversationChange(conversations.Change):
    model_config = _any_of("title", "status", "instructions", "claim", absent=False)
    title: Annotated[
        str, Field(min_length=1, max_length=conversations.MAX_TITLE_CHARS, pattern=WORDS)
    ] = OPTIONAL
    status: ConversationStatus = OPTIONAL
    claim: Literal[True] = OPTIONAL


class MistakeMark(conversations.Mark):
    pass


class Credentials(users.Credentials):
    email: Annotated[
        str, Field(max_length=users.MAX_EMAIL_CHARS, pattern=r"^[^\s\u0000]+@[^\s@\u0000]+$")
    ]
    password: NewPassword


class PasswordChange(users.PasswordChange):
    password: CurrentPassword
    new_password: NewPassword


class SignOut(users.SignOut):
    pass


type AccountRequest = Annotated[
    Credentials | PasswordChange | SignOut, Field(discriminator="action")
]


class Confirmation(users.Confirmation):
    password: CurrentPassword


class SettingsChange(users.SettingsChange):
    pass


class NewTask(users.NewTask):
    title: TaskTitle


class TaskChange(users.TaskChange):
    model_config = _any_of("title", "description", "completed", absent={"type": "null"})
    title: TaskTitle | None = None


REQUESTS = (
    ChatRequest,
    ConversationChange,
    SettingsChange,
    MistakeMark,
    AccountRequest,
    Confirmation,
    NewTask,
    TaskChange,
)
