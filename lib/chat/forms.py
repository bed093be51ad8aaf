"""What POST /api/chat accepts: the plain form, and what the AI SDK's `useChat` sends."""

import json
import re
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from uuid import uuid4

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, StrictBool, model_validator

from lib.http.validation import ClientId, Storable, validate
from lib.problems import InvalidRequest, NothingToAnswer
from lib.settings import settings
from lib.texts import storable_json
from lib.turns.request import ChatRequest, Style

MAX_METADATA_BYTES = 16 * 1024
MAX_FILES = 10
MAX_URL_CHARS = 2048
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Check that free metadata can be stored, and is not too much of it."""
    try:
        is_storable = storable_json(value) == value
        size = len(
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        )
    except ValueError:
        message = "must be JSON"
        raise ValueError(message) from None
    except RecursionError:
        message = "must not be nested so deeply"
        raise ValueError(message) from None
    if not is_storable:
        message = "must not contain NUL or lone surrogates"
        raise ValueError(message)
    if size > MAX_METADATA_BYTES:
        message = f"must have at most {MAX_METADATA_BYTES // 1024} KB, and has {size} bytes"
        raise ValueError(message)
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
# It stands in the system prompt, so it is a name and no more: nobody's instructions fit into it.
PersonaName = Annotated[Storable, Field(pattern=r"^\w[\w .'-]{0,63}$")]


class Options(BaseModel, defer_build=True):
    """What either form may say beside the message: how it is to be answered.

    Attributes:
        tool_choice: the tool that the model must call first; for users.
    """

    persona: PersonaName | None = None
    tone: Literal["casual", "technical", "auto"] = "auto"
    behavior: Literal["normal", "cautious", "auto"] = "auto"
    metadata: Metadata | None = None
    tool_choice: Annotated[Storable, Field(min_length=1, max_length=64)] | None = None

    def style(self) -> Style:
        """Return how the answer is to be; what is left to chance is None."""
        return Style(
            persona=self.persona,
            tone=None if self.tone == "auto" else self.tone,
            behavior=None if self.behavior == "auto" else self.behavior,
        )


class PlainForm(Options, defer_build=True):
    """`{"message": "text", …}`.

    Attributes:
        message: at most MAX_MESSAGE_CHARS characters (1,000 by default).
        conversation_id: the UUID of a conversation, or any other text, which stands for one
            conversation of each user; without a token it needs 16 characters. Left out: a new
            conversation. `session_id` is another name of it.
        message_id: sent again with the same id, a message is answered once.
        stream: a UI message stream is wanted, as with `Accept`.
    """

    message: Storable
    conversation_id: ClientId | None = Field(
        default=None, validation_alias=AliasChoices("conversation_id", "session_id")
    )
    message_id: ClientId | None = None
    stream: StrictBool | None = None


class UserMessage(BaseModel, defer_build=True):
    """The part of an AI SDK `UIMessage` that is read: of the newest user message alone.

    Attributes:
        parts: some text or an image; at most 10 images.
    """

    id: ClientId | None = None
    role: Literal["user"]
    parts: list[object]
    metadata: Metadata | None = None


class TextPart(BaseModel, defer_build=True):
    """A part of a user message."""

    # Of another type: `_parts` takes a file to its own model.
    type: Literal["text", "file"]
    text: Storable


class FilePart(BaseModel, defer_build=True):
    """A part of a user message: an image, which the provider fetches or finds in the URL itself.

    Attributes:
        url: `https://…`, or `data:`, the media type, `;base64,…`.
    """

    type: Literal["file"]
    mediaType: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]  # noqa: N815 (SDK's)
    url: Storable
    filename: Annotated[Storable, Field(max_length=255)] | None = None

    @model_validator(mode="after")
    def _has_image(self) -> "FilePart":
        is_remote = self.url.startswith("https://") and len(self.url) <= MAX_URL_CHARS
        begin = f"data:{self.mediaType};base64,"
        is_data = self.url.startswith(begin) and BASE64.fullmatch(self.url, len(begin)) is not None
        if not (is_remote and urlsplit(self.url).hostname) and not is_data:
            message = f"url must be https://… or {begin}…"
            raise ValueError(message)
        return self

    def stored(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        return self.model_dump(exclude={"type"}, exclude_none=True)


class SdkForm(Options, defer_build=True):
    """`{"id", "messages", "trigger", "messageId"?}` or `{"id", "message", …}`: AI SDK 5 to 7.

    Attributes:
        id: the UUID of a conversation, or any other text, which stands for one conversation of each
            user; without a token it needs 16 characters.
        messages: only the newest user message is read.
        message: the newest message alone, instead of `messages`.
        messageId: the message that is edited, or the answer to make again.
    """

    id: ClientId
    messages: list[object] | None = None
    message: object = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: ClientId | None = None  # noqa: N815 (the SDK's own name)


def read_form(content: dict[str, Any], accept: str) -> ChatRequest:
    """Read a body in either form.

    Args:
        content: the body.
        accept: the header; it counts where the body does not say whether a stream is wanted.

    Raises:
        InvalidRequest: it is neither; each wrong field is named.
        NothingToAnswer: the newest message is not the user's.
    """
    max_message_chars = settings().max_message_chars
    if "messages" in content or isinstance(content.get("message"), dict):
        return _of_sdk_form(validate(SdkForm, content), max_message_chars)
    form = validate(PlainForm, content)
    _check_text(form.message, "message", max_message_chars)
    return ChatRequest(
        chat_id=form.conversation_id,
        message_id=form.message_id or _new_message_id(),
        text=form.message,
        wants_stream="text/event-stream" in accept if form.stream is None else form.stream,
        metadata=form.metadata,
        style=form.style(),
        tool_choice=_known_tool(form.tool_choice),
    )


def _of_sdk_form(form: SdkForm, max_message_chars: int) -> ChatRequest:
    regenerates = form.trigger == "regenerate-message"
    at, newest = _newest_message(form, user_only=regenerates)
    if newest is None:
        if not regenerates:
            raise NothingToAnswer
        return ChatRequest(
            chat_id=form.id,
            chat_id_field="id",
            regenerates=True,
            answer_message_id=form.messageId,
            wants_stream=True,
            style=form.style(),
            tool_choice=_known_tool(form.tool_choice),
        )
    message = validate(UserMessage, newest, at)
    parts = _parts(message, at)
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    files = [part.stored() for part in parts if isinstance(part, FilePart)]
    _check_text(text, f"{at}.parts", max_message_chars, has_files=bool(files))
    if len(files) > MAX_FILES:
        detail = f"must have at most {MAX_FILES} files, and has {len(files)}"
        raise InvalidRequest(errors=[{"field": f"{at}.parts", "detail": detail}])
    message_id = message.id or form.messageId or _new_message_id()
    return ChatRequest(
        chat_id=form.id,
        chat_id_field="id",
        message_id=message_id,
        text=text,
        replaced_message_id=None if regenerates else form.messageId,
        regenerates=regenerates,
        answer_message_id=form.messageId if regenerates else None,
        wants_stream=True,
        files=files or None,
        metadata=message.metadata or form.metadata,
        style=form.style(),
        tool_choice=_known_tool(form.tool_choice),
    )


def _parts(message: UserMessage, at: str) -> list[TextPart | FilePart]:
    """Check each part of a message; what is wrong in any of them is told at once."""
    parts: list[TextPart | FilePart] = []
    errors: list[dict[str, str]] = []
    for index, part in enumerate(message.parts):
        named = cast("dict[str, object]", part) if isinstance(part, dict) else {}
        model = FilePart if named.get("type") == "file" else TextPart
        try:
            parts.append(validate(model, cast("object", part), f"{at}.parts.{index}"))
        except InvalidRequest as problem:
            errors += problem.errors or []
    if errors:
        raise InvalidRequest(errors=errors)
    return parts


def _known_tool(name: str | None) -> str | None:
    """Check that a tool is one that there is."""
    if name is None:
        return None
    # Here, not above: only who names a tool needs them before the model is asked.
    from lib.tools import tools  # noqa: PLC0415

    if name not in tools():
        detail = f"must be one of {', '.join(tools())}"
        raise InvalidRequest(errors=[{"field": "tool_choice", "detail": detail}])
    return name


def _newest_message(form: SdkForm, *, user_only: bool) -> tuple[str, object]:
    """Return the newest message and where it stood, or None; with `user_only` the user's newest.

    All before it are ignored: the server's history is the truth, and a client cannot put words into
    the assistant's mouth.
    """
    messages = [(f"messages.{index}", each) for index, each in enumerate(form.messages or [])]
    if form.message is not None:
        messages = [("message", form.message)]
    for at, message in reversed(messages):
        if not _is_of_assistant(message):
            return at, message
        if not user_only:
            break
    return "messages", None


def _is_of_assistant(message: object) -> bool:
    return (
        isinstance(message, dict) and cast("dict[str, object]", message).get("role") == "assistant"
    )


def _check_text(text: str, field: str, max_message_chars: int, *, has_files: bool = False) -> None:
    if not text.strip() and not has_files:
        raise InvalidRequest(errors=[{"field": field, "detail": "must not be empty"}])
    if len(text) > max_message_chars:
        detail = f"must have at most {max_message_chars} characters, and has {len(text)}"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])


def _new_message_id() -> str:
    return str(uuid4())
