"""The dialects of the API: how a request is written, sent, and its response read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from lib.model._chat.request import chat_body
from lib.model._chat.stream import ChatReader
from lib.model._responses.request import responses_body
from lib.model._responses.stream import ResponsesReader
from lib.model.reply import Piece, Reply
from lib.model.request import ModelRequest
from lib.models import Model


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
        path: of the endpoint, below the base URL.
        reader: makes the reader of a response.
    """

    body: Callable[[ModelRequest], dict[str, Any]]
    path: str
    reader: MakeReader


def dialect(model: Model) -> Dialect:
    """Return the dialect that a model's provider speaks."""
    return RESPONSES if model.dialect == "responses" else CHAT_COMPLETIONS


CHAT_COMPLETIONS = Dialect(chat_body, "chat/completions", ChatReader)
RESPONSES = Dialect(responses_body, "responses", ResponsesReader)
