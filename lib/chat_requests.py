"""What POST /api/chat accepts: the plain form, and what the AI SDK's `useChat` sends."""

from dataclasses import dataclass
from typing import Literal, cast
from uuid import uuid4

from pydantic import AliasChoices, BaseModel, Field, StrictBool
from starlette.requests import Request

from lib.functions import read_json, validate
from lib.ids import ClientId, Storable
from lib.problems import InvalidRequest, NothingToAnswer
from lib.settings import settings

# useChat sends the whole conversation each time, unless it is told otherwise.
MAX_BODY_BYTES = 4 * 1024 * 1024


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
    """

    chat_id: str | None = None
    chat_id_field: str = "conversation_id"
    message_id: str | None = None
    text: str | None = None
    replaced_message_id: str | None = None
    regenerates: bool = False
    answer_message_id: str | None = None
    wants_stream: bool


class PlainForm(BaseModel, defer_build=True):
    """`{"message": "text", …}`; `session_id` is another name of `conversation_id`."""

    message: Storable
    conversation_id: ClientId | None = Field(
        default=None, validation_alias=AliasChoices("conversation_id", "session_id")
    )
    message_id: ClientId | None = None
    stream: StrictBool | None = None


class UserMessage(BaseModel, defer_build=True):
    """The part of an AI SDK `UIMessage` that is read: of the newest user message alone."""

    id: ClientId | None = None
    role: Literal["user"]
    parts: list["TextPart"]


class TextPart(BaseModel, defer_build=True):
    """A part of a user message."""

    type: Literal["text"]
    text: Storable


class SdkForm(BaseModel, defer_build=True):
    """`{"id", "messages", "trigger", "messageId"?}` or `{"id", "message", …}`: AI SDK 5 to 7."""

    id: ClientId
    messages: list[object] | None = None
    message: object = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: ClientId | None = None  # noqa: N815 (the SDK's own name)


async def read_chat_request(request: Request) -> ChatRequest:
    """Read a request of POST /api/chat in either form.

    Raises:
        InvalidRequest: it is neither; each wrong field is named.
        NothingToAnswer: the newest message is not the user's.
        Problem: see `read_json`.
    """
    content = await read_json(request, MAX_BODY_BYTES)
    max_message_chars = settings().max_message_chars
    if "messages" in content or isinstance(content.get("message"), dict):
        return _of_sdk_form(validate(SdkForm, content), max_message_chars)
    form = validate(PlainForm, content)
    _check_text(form.message, "message", max_message_chars)
    accepts_stream = "text/event-stream" in request.headers.get("accept", "")
    return ChatRequest(
        chat_id=form.conversation_id,
        message_id=form.message_id or _new_message_id(),
        text=form.message,
        wants_stream=accepts_stream if form.stream is None else form.stream,
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
        )
    message = validate(UserMessage, newest, at)
    text = "\n".join(part.text for part in message.parts)
    _check_text(text, f"{at}.parts", max_message_chars)
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
    )


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


def _check_text(text: str, field: str, max_message_chars: int) -> None:
    if not text.strip():
        raise InvalidRequest(errors=[{"field": field, "detail": "must not be empty"}])
    if len(text) > max_message_chars:
        detail = f"must have at most {max_message_chars} characters, and has {len(text)}"
        raise InvalidRequest(errors=[{"field": field, "detail": detail}])


def _new_message_id() -> str:
    return str(uuid4())
