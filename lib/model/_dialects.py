"""The dialects of the API: how a request is written, sent, and its response read."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from openai import AsyncAPIResponse

from lib.model._chat.request import chat_body
from lib.model._chat.stream import ChatReader
from lib.model._provider import provider
from lib.model._responses.request import responses_body
from lib.model._responses.stream import ResponsesReader
from lib.model.reply import Piece, Reply
from lib.model.request import ModelRequest
from lib.settings import settings

# A request on its way: its response's head has arrived when the block begins.
type SentRequest = AbstractAsyncContextManager[AsyncAPIResponse[Any]]


class Reader(Protocol):
    """Reads the events of one response.

    Attributes:
        is_over: the response has ended: nothing that counts follows.
    """

    is_over: bool

    def read(self, event: dict[str, Any], /) -> list[Piece]:
        """Return the pieces in an event.

        Raises:
            ProviderError: when the event reports an error.
            GarbledStreamError: when the event breaks the API's description, and the answer without
                it would be wrong.
        """
        ...

    def end(self, *, is_done: bool) -> Iterator[Piece]:
        """Yield the pieces that waited for more, and complete the reply.

        Args:
            is_done: `[DONE]` has arrived.

        Raises:
            ProviderError: when the provider failed midway.
        """
        ...


class MakeReader(Protocol):
    """Makes the reader of one response."""

    def __call__(self, reply: Reply, *, has_tools: bool) -> Reader:
        """Take the reply to note all in that is no piece; without tools, calls are not read."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect.

    Attributes:
        body: writes the body of a request.
        send: sends a body.
        reader: makes the reader of a response.
        package: the part of `openai` that sends it, which `import openai` does not import.
    """

    body: Callable[[ModelRequest], dict[str, Any]]
    send: Callable[[dict[str, Any]], SentRequest]
    reader: MakeReader
    package: str


def dialect() -> Dialect:
    """Return the dialect that the provider speaks."""
    return RESPONSES if settings().spoken_api == "responses" else CHAT_COMPLETIONS


def _send_chat(body: dict[str, Any]) -> SentRequest:
    # All through `extra_body`, which the package sends as it is: it refuses names that it does not
    # know, and looks through each message for fields to rename, which took a quarter of the
    # processor's time of a turn.
    fields = dict(body)
    completions: Any = provider().chat.completions.with_streaming_response
    return completions.create(
        model=fields["model"], messages=(), stream=fields.pop("stream"), extra_body=fields
    )


def _send_responses(body: dict[str, Any]) -> SentRequest:
    # All through `extra_body`, which the package sends as it is: by its own types it would rewrite
    # `input`, but items must go back as they came.
    fields = dict(body)
    responses: Any = provider().responses.with_streaming_response
    return responses.create(stream=fields.pop("stream"), extra_body=fields)


CHAT_COMPLETIONS = Dialect(chat_body, _send_chat, ChatReader, "openai.resources.chat")
RESPONSES = Dialect(responses_body, _send_responses, ResponsesReader, "openai.resources.responses")
