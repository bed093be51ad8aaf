"""The two forms of a body of POST /api/chat: the plain one, and the AI SDK's (`useChat`)."""

import json
import re
from typing import Annotated, Any, Literal, cast
from uuid import uuid4

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, StrictBool, model_validator

from lib.chat._ignored import refuse_ignored
from lib.chat._image_urls import check_image_url
from lib.conversations.parts import Data, Text
from lib.conversations.user_parts import FILE, UserPart, stored_user_parts
from lib.files.images import read_base64
from lib.files.kinds import SEEN_TYPES, FileType, check_file, clean_name, readable_type
from lib.http.validation import ClientId, Storable, validate
from lib.identity.file_links import file_id_in
from lib.problems import InvalidRequest, NothingToAnswer, Unauthenticated
from lib.settings import settings
from lib.texts import storable_json
from lib.turns.request import ChatRequest, Style

MAX_METADATA_BYTES = 16 * 1024
MAX_FILES = 10
# Text, files and data; useChat sends one text.
MAX_PARTS = 100
MAX_DATA_PARTS = 10
# Of all data of a message together, as JSON. The model reads them with each later message, too.
MAX_DATA_BYTES = 16 * 1024
MAX_DATA_DEPTH = 32
DATA_URL = re.compile(r"data:[^,]{0,300}?;base64,")


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Check that free metadata can be stored and is not too large."""
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


def _data(value: object) -> object:
    """Check that data can be stored, and are not nested too deeply for a reader."""
    if _is_deeper(value, MAX_DATA_DEPTH):
        message = f"must be nested at most {MAX_DATA_DEPTH} levels deep"
        raise ValueError(message)
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        message = "must be JSON"
        raise ValueError(message) from None
    if storable_json(value) != value:
        message = "must not contain NUL or lone surrogates"
        raise ValueError(message)
    return value


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return False
    items = cast("list[object]", value)
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]


class Options(BaseModel, defer_build=True):
    """The fields of both forms that say how to answer the message.

    Attributes:
        persona: a name of PERSONAS, whose instruction the model gets.
        model: name of the model to answer, one of MODELS.
        reasoning_effort: how much it is to think: a word that its entry allows.
        tool_choice: the tool that the model must call first; for users.
    """

    persona: Storable | None = None
    tone: Literal["casual", "technical", "auto"] = "auto"
    behavior: Literal["normal", "cautious", "auto"] = "auto"
    metadata: Metadata | None = None
    model: Annotated[Storable, Field(min_length=1, max_length=64)] | None = None
    reasoning_effort: Annotated[Storable, Field(min_length=1, max_length=20)] | None = None
    tool_choice: Annotated[Storable, Field(min_length=1, max_length=64)] | None = None

    def style(self) -> Style:
        """Return the style of the answer; `auto` becomes None.

        Raises:
            InvalidRequest: when the operator has no persona of that name.
        """
        return Style(
            persona=_known_persona(self.persona),
            tone=None if self.tone == "auto" else self.tone,
            behavior=None if self.behavior == "auto" else self.behavior,
        )


class DataPart(BaseModel, defer_build=True):
    """Data of the page, which the model is told as such.

    Attributes:
        type: `data-` and a name.
        id: tells it from other data of the name, for the page.
        data: any JSON; at most 10 of them, and 16 KB together.
    """

    type: Annotated[str, Field(pattern=r"^data-[A-Za-z0-9_-]{1,64}$")]
    id: ClientId | None = None
    data: Annotated[object, AfterValidator(_data)]

    def to_part(self) -> Data:
        """Return it as it is stored."""
        return Data(name=self.type.removeprefix("data-"), data=self.data, id=self.id)


class PlainForm(Options, defer_build=True):
    """`{"message": "text", …}`.

    Attributes:
        message: at most MAX_MESSAGE_CHARS characters (10,000 by default).
        conversation_id: the UUID of a conversation, or any other text, which stands for one
            conversation of each user; without a token it must not be guessable. Left out: a new
            conversation. `session_id` is another name of it.
        data: of the page, as `data-*` parts.
        message_id: sent again with the same id, a message is answered once.
        stream: a UI message stream is wanted, as with `Accept`.
    """

    message: Storable
    conversation_id: ClientId | None = Field(
        default=None, validation_alias=AliasChoices("conversation_id", "session_id")
    )
    data: list[DataPart] | None = Field(default=None, max_length=MAX_DATA_PARTS)
    message_id: ClientId | None = None
    stream: StrictBool | None = None


class UserMessage(BaseModel, defer_build=True):
    """The fields of an AI SDK `UIMessage` that are read, from the newest user message alone.

    Attributes:
        parts: some text or a file, and data of the page; at most 100, and 10 files.
    """

    id: ClientId | None = None
    role: Literal["user"]
    parts: list[object] = Field(max_length=MAX_PARTS)
    metadata: Metadata | None = None


class TextPart(BaseModel, defer_build=True):
    """A part of a user message."""

    # "file" is here for the error message alone: `_parts` reads files by `FilePart`.
    type: Literal["text", "file"]
    text: Storable


class FilePart(BaseModel, defer_build=True):
    """A part of a user message: an image, a PDF document or a text.

    Attributes:
        mediaType: the file's; where it is '' or names no kind, the ending of `filename` does.
        url: `data:`, a media type, `;base64,…`: the file; or the link to a stored file, as an
            upload returns it or history has it; or of an image `https://…`, a public host, from
            which the provider fetches it.
        filename: the model is told it, without folders.
    """

    type: Literal["file"]
    mediaType: Annotated[Storable, Field(max_length=255)] = ""  # noqa: N815 (the SDK's own name)
    url: Storable
    filename: Annotated[Storable, Field(max_length=255)] | None = None

    @model_validator(mode="after")
    def _is_readable(self) -> "FilePart":
        """Check that the model reads such a file, and that the bytes are one; store it so."""
        self.filename = clean_name(self.filename or "") or None
        try:
            found = readable_type(self.mediaType, self.filename)
            self.mediaType = found.media_type
            self._check(found)
        except ValueError as error:
            raise ValueError(f"{self.filename}: {error}" if self.filename else str(error)) from None
        return self

    def _check(self, found: FileType) -> None:
        if file_id_in(self.url) is not None:
            # It was checked when it was stored, under this media type.
            return
        is_image = found.kind == "image"
        if is_image and not self.url.startswith("data:"):
            check_image_url(self.url)
            return
        beginning = f"data:{found.media_type};base64,"
        # A browser puts a type of its own into the URL of a file that it does not know.
        if not DATA_URL.match(self.url):
            message = f"url must be {'https://… or ' if is_image else ''}{beginning}…"
            raise ValueError(message)
        data = self.url.partition(",")[2]
        if not data:
            message = "url must have data: the file is empty"
            raise ValueError(message)
        self.url = beginning + data
        # Before the data is read, which costs time.
        _check_bytes(self.data_bytes, "url")
        check_file(read_base64(data), found)

    @property
    def data_bytes(self) -> int:
        """The size of the file in a `data:` URL, in bytes; 0 for other URLs."""
        beginning, _, data = self.url.partition(",")
        if not beginning.startswith("data:"):
            return 0
        return len(data) // 4 * 3 - data[-2:].count("=")

    def stored(self) -> dict[str, Any]:
        """Return the file in its stored form, which clients see, too."""
        return self.model_dump(exclude={"type"}, exclude_none=True)


class SdkForm(Options, defer_build=True):
    """`{"id", "messages", "trigger", "messageId"?}` or `{"id", "message", …}`: AI SDK 5 to 7.

    Attributes:
        id: the UUID of a conversation, or any other text, which stands for one conversation of each
            user; without a token it must not be guessable.
        messages: only the newest user message is read.
        message: the newest message alone, instead of `messages`.
        messageId: the message that is edited, or the answer to make again.
    """

    id: ClientId
    messages: list[object] | None = None
    message: object = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: ClientId | None = None  # noqa: N815 (the SDK's own name)


def read_form(content: dict[str, Any], accept: str, *, may_send_files: bool) -> ChatRequest:
    """Read a body in either form.

    Args:
        content: the body.
        accept: the header Accept, which decides about a stream where the body does not.
        may_send_files: False: a message with a file is refused before the file is read.

    Raises:
        InvalidRequest: when the body has neither form, or has fields that mean something and would
            be ignored (`refuse_ignored`); the problem names each wrong field.
        NothingToAnswer: when the newest message is not the user's.
        Unauthenticated: when the message has a file, and must not.
    """
    max_message_chars = settings().max_message_chars
    is_plain = not ("messages" in content or isinstance(content.get("message"), dict))
    refuse_ignored(content, PlainForm if is_plain else SdkForm, is_plain=is_plain)
    if not is_plain:
        return _read_sdk_form(
            validate(SdkForm, content), max_message_chars, may_send_files=may_send_files
        )
    form = validate(PlainForm, content)
    _check_text(form.message, "message", max_message_chars)
    data = form.data or []
    _check_data(data, "data")
    return ChatRequest(
        chat_id=form.conversation_id,
        message_id=form.message_id or _new_message_id(),
        text=form.message,
        steps=stored_user_parts([Text(form.message), *(each.to_part() for each in data)]),
        wants_stream="text/event-stream" in accept if form.stream is None else form.stream,
        metadata=form.metadata,
        style=form.style(),
        model=form.model,
        reasoning_effort=form.reasoning_effort,
        tool_choice=_known_tool(form.tool_choice),
    )


def _read_sdk_form(form: SdkForm, max_message_chars: int, *, may_send_files: bool) -> ChatRequest:
    regenerates = form.trigger == "regenerate-message"
    at, newest = _newest_message(form, user_only=regenerates)
    if newest is None and not regenerates:
        raise NothingToAnswer
    if not may_send_files and _has_file(newest):
        raise Unauthenticated("Sign in to send files.")
    message = {} if newest is None else _read_message(form, newest, at, max_message_chars)
    return ChatRequest(
        chat_id=form.id,
        chat_id_field="id",
        **message,
        replaced_message_id=None if regenerates else form.messageId,
        regenerates=regenerates,
        answer_message_id=form.messageId if regenerates else None,
        wants_stream=True,
        style=form.style(),
        model=form.model,
        reasoning_effort=form.reasoning_effort,
        tool_choice=_known_tool(form.tool_choice),
    )


def _read_message(form: SdkForm, newest: object, at: str, max_message_chars: int) -> dict[str, Any]:
    """Return the fields of a `ChatRequest` that the user's newest message has."""
    message = validate(UserMessage, newest, at)
    parts = _parts(message, at)
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    files = [part for part in parts if isinstance(part, FilePart)]
    _check_text(text, f"{at}.parts", max_message_chars, has_files=bool(files))
    _check_files(files, f"{at}.parts")
    _check_data([part for part in parts if isinstance(part, DataPart)], f"{at}.parts")
    return {
        "message_id": message.id or form.messageId or _new_message_id(),
        "text": text,
        "files": [file.stored() for file in files] or None,
        "steps": stored_user_parts([_user_part(part) for part in parts]),
        "metadata": message.metadata or form.metadata,
    }


def _user_part(part: TextPart | FilePart | DataPart) -> UserPart:
    match part:
        case TextPart():
            return Text(part.text)
        case FilePart():
            return FILE
        case DataPart():
            return part.to_part()


def _parts(message: UserMessage, at: str) -> list[TextPart | FilePart | DataPart]:
    """Return the parts of a message; the problem names the errors of all parts at once."""
    parts: list[TextPart | FilePart | DataPart] = []
    errors: list[dict[str, str]] = []
    for index, part in enumerate(message.parts):
        fields = cast("dict[str, object]", part) if isinstance(part, dict) else {}
        kind = fields.get("type")
        model = FilePart if kind == "file" else TextPart
        if isinstance(kind, str) and kind.startswith("data-"):
            model = DataPart
        try:
            parts.append(validate(model, cast("object", part), f"{at}.parts.{index}"))
        except InvalidRequest as problem:
            errors += problem.errors or []
    if errors:
        raise InvalidRequest(errors=errors)
    return parts


def _known_persona(name: str | None) -> str | None:
    """Check that the operator has written a persona of this name.

    A name that the client makes up would stand in the system prompt, where the model obeys it.
    """
    names = settings().personas or {}
    if name is not None and name not in names:
        detail = f"must be one of {', '.join(names)}"
        if not names:
            detail = "must not be set: this application has no personas"
        raise InvalidRequest(errors=[{"field": "persona", "detail": detail}])
    return name


def _known_tool(name: str | None) -> str | None:
    """Check that there is a tool of this name, and that the model is offered tools at all.

    An answer without the tool would look as if the tool had run.
    """
    if name is None:
        return None
    if settings().tools == "off":
        detail = "must not be set: this application offers no tools"
        raise InvalidRequest(errors=[{"field": "tool_choice", "detail": detail}])
    # A late import: other requests need the tools only when the model is asked.
    from lib.tools import tools  # noqa: PLC0415

    if name not in tools():
        detail = f"must be one of {', '.join(tools())}"
        raise InvalidRequest(errors=[{"field": "tool_choice", "detail": detail}])
    return name


def _newest_message(form: SdkForm, *, user_only: bool) -> tuple[str, object]:
    """Return the field of the newest message, and the message or None.

    With `user_only` that is the newest message of the user. Earlier messages are ignored, because
    the stored history is the truth: a message cannot put words into the assistant's mouth.
    """
    messages = form.messages or [] if form.message is None else [form.message]
    for index, message in reversed([*enumerate(messages)]):
        if not _is_of_assistant(message):
            return "message" if form.message is not None else f"messages.{index}", message
        if not user_only:
            break
    return "messages", None


def _is_of_assistant(message: object) -> bool:
    return (
        isinstance(message, dict) and cast("dict[str, object]", message).get("role") == "assistant"
    )


def _has_file(message: object) -> bool:
    """Tell whether a message has a file, before its parts are checked: that costs time."""
    fields = cast("dict[str, object]", message) if isinstance(message, dict) else {}
    parts = fields.get("parts")
    return isinstance(parts, list) and any(
        isinstance(part, dict) and cast("dict[str, object]", part).get("type") == "file"
        for part in cast("list[object]", parts)
    )


def _check_text(text: str, field: str, max_message_chars: int, *, has_files: bool = False) -> None:
    if not text.strip() and not has_files:
        raise InvalidRequest(errors=[{"field": field, "detail": "must not be empty"}])
    if (more := len(text) - max_message_chars) > 0:
        characters = "character" if more == 1 else "characters"
        detail = f"is {more:,} {characters} too long: {max_message_chars:,} at most"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])


def _check_files(files: list[FilePart], field: str) -> None:
    # All files of a message reach the model, so it has no more than a prompt may have.
    seen = [file for file in files if file.mediaType in SEEN_TYPES]
    max_seen = settings().max_prompt_images
    if len(files) > MAX_FILES or len(seen) > max_seen:
        detail = f"must have at most {MAX_FILES} files, and has {len(files)}"
        if len(seen) > max_seen:
            most = min(MAX_FILES, max_seen)
            detail = f"must have at most {most} images and PDFs, and has {len(seen)}"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])
    try:
        _check_bytes(sum(file.data_bytes for file in files), "the files together")
    except ValueError as error:
        raise InvalidRequest(errors=[{"field": field, "detail": str(error)}]) from error


def _check_data(data: list[DataPart], field: str) -> None:
    if len(data) > MAX_DATA_PARTS:
        detail = f"must have at most {MAX_DATA_PARTS} data parts, and has {len(data)}"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])
    size = sum(len(json.dumps(each.data, ensure_ascii=False).encode()) for each in data)
    if size > MAX_DATA_BYTES:
        most = MAX_DATA_BYTES // 1024
        detail = f"the data together must have at most {most} KB, and have {size} bytes"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])


def _check_bytes(size: int, subject: str) -> None:
    """Check the size of data that is stored with a message, against MAX_FILE_BYTES."""
    most = settings().max_file_bytes
    if size > most:
        message = f"{subject} must have at most {most} bytes of data, and has {size}"
        raise ValueError(message)


def _new_message_id() -> str:
    return str(uuid4())
