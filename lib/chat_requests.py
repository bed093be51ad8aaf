"""What POST /api/chat is asked for, in whichever form it comes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from lib.bodies import read_json
from lib.loading import load
from lib.prompts import Style

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


async def read_chat_request(request: Request) -> ChatRequest:
    """Read a request of POST /api/chat.

    Raises:
        Problem: see `read_json`, and `read_form`.
    """
    content = await read_json(request, MAX_BODY_BYTES)
    read_form = await load(form_reader)
    return read_form(content, request.headers.get("accept", ""))


def form_reader() -> Callable[[dict[str, Any], str], ChatRequest]:
    """Return what reads the forms, which imports pydantic."""
    from lib.chat_forms import read_form

    return read_form
