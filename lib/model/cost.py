"""The cost of requests to the model: each request of an attempt reports its tokens here."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import httpx2
import openai

from lib.model._refusals.refusal import refusal_in
from lib.model._refusals.requests import FILE_CHARS, chars_of
from lib.model.reply import (
    CallPiece,
    FilePiece,
    HostedCallPiece,
    Piece,
    ReasoningPiece,
    Reply,
    SourcePiece,
)
from lib.model.request import ModelRequest, UserMessage
from lib.problems import DatabaseUnavailable
from lib.runtime.counting import note_cached_tokens, note_model_request, note_model_tokens

# A provider's rule of thumb for English; other languages and code take more tokens.
CHARS_PER_TOKEN = 4
# How a request ended: with its answer, cut by Parley, refused by the provider, or failed otherwise.
Outcome = Literal["answered", "cut", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Cost:
    """A number of tokens.

    Attributes:
        prompt: tokens that the model has read.
        completion: tokens that it has written.
    """

    prompt: int = 0
    completion: int = 0

    def __bool__(self) -> bool:
        """Return whether there are any tokens."""
        return self.prompt > 0 or self.completion > 0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum of both."""
        return Cost(self.prompt + other.prompt, self.completion + other.completion)

    def beyond(self, prompt: int | None, completion: int | None) -> "Cost":
        """Return the rest without the tokens of a stored answer; None: it tells none."""
        return Cost(
            max(0, self.prompt - (prompt or 0)), max(0, self.completion - (completion or 0))
        )


class Spending:
    """The cost of one attempt's requests, for its answer, a title and an analysis together."""

    def __init__(self) -> None:
        """Start with no cost."""
        self._cost = Cost()

    def counting(self, request: ModelRequest, reply: Reply) -> "CountedRequest":
        """Return a block in which one request is sent and its reply is read; its end adds its cost.

        Args:
            request: the request as it is sent.
            reply: takes the provider's count of tokens.
        """
        return CountedRequest(self, request, reply)

    def add(self, cost: Cost) -> None:
        """Add a cost."""
        self._cost += cost

    @contextmanager
    def storing(self) -> Generator[Cost]:
        """Give the cost so far to a block that stores it, and start again with none.

        A block that fails has stored nothing, so its cost is added again; but if the database
        cannot be reached, the cost may be stored, and must not be stored twice.
        """
        taken, self._cost = self._cost, Cost()
        try:
            yield taken
        except DatabaseUnavailable:
            raise
        except BaseException:
            self.add(taken)
            raise


class CountedRequest:
    """One request to the model.

    Tokens are those that the provider counts. Where it does not, because it never does or the
    request was cut before, they are estimated. A request without a reply cost nothing where the
    provider refused it or could not be reached. Providers bill the prompt of a request that waits
    for its reply, so a cut or a time-out does not make that request free.

    Attributes:
        chars: characters of the reply so far.
    """

    __slots__ = ("_reply", "_request", "_spending", "chars")

    def __init__(self, spending: Spending, request: ModelRequest, reply: Reply) -> None:
        """Take the request; `Spending.counting` makes the object."""
        self._spending, self._request, self._reply = spending, request, reply
        self.chars = 0

    def __enter__(self) -> Self:
        """Forget the count of an earlier try, which the provider has refused."""
        self._reply.prompt_tokens = self._reply.completion_tokens = None
        self._reply.cached_tokens = self._reply.reasoning_tokens = None
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Add the cost of the request, however it ended."""
        purpose, reply = self._request.purpose, self._reply
        note_model_request(purpose, self._outcome(error))
        is_free = isinstance(error, Exception) and not self._was_read(error)
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None and not is_free:
            prompt = _tokens_in(_chars_of(self._request))
            note_model_tokens(purpose, "prompt", prompt, is_estimate=True)
        elif prompt is not None:
            note_model_tokens(purpose, "prompt", prompt, is_estimate=False)
        if completion is None:
            completion = _tokens_in(self.chars)
            note_model_tokens(purpose, "completion", completion, is_estimate=True)
        else:
            note_model_tokens(purpose, "completion", completion, is_estimate=False)
        note_cached_tokens(purpose, reply.cached_tokens or 0)
        self._spending.add(Cost(prompt or 0, completion))

    def _outcome(self, error: BaseException | None) -> Outcome:
        if error is None:
            return "answered"
        if not isinstance(error, Exception):
            # Cancelled, or closed by its reader.
            return "cut"
        # Without the request, which only the log compares with the refusal.
        refusal = refusal_in(error, {})
        is_refusal = refusal is not None and not refusal.is_of_server and not self.chars
        return "refused" if is_refusal else "failed"

    def _was_read(self, error: Exception) -> bool:
        """Return whether the model has read a request that failed."""
        if self.chars or self._reply.finish_reason is not None:
            return True
        # The package's error for any time-out, whose cause is the transport's.
        cause = error.__cause__ if isinstance(error, openai.APITimeoutError) else error
        is_silence = isinstance(cause, httpx2.TimeoutException)
        return is_silence and not isinstance(cause, httpx2.ConnectTimeout)


def chars_in(piece: Piece) -> int:
    """Return how many characters the model has written for a piece of a reply."""
    match piece:
        case str():
            return len(piece)
        case ReasoningPiece(text):
            return len(text)
        case CallPiece():
            return len(piece.name) + len(piece.arguments)
        case FilePiece():
            return FILE_CHARS
        case SourcePiece() | HostedCallPiece():
            # Not written by the model.
            return 0


def estimated_prompt_tokens(request: ModelRequest) -> int:
    """Estimate the tokens of a request by its characters, tools included."""
    return _tokens_in(_chars_of(request))


def _tokens_in(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def _chars_of(request: ModelRequest) -> int:
    """Return how long a request is to the model, in characters."""
    data_chars = sum(
        max(0, len(part.url) - FILE_CHARS)
        for message in request.messages
        if isinstance(message, UserMessage)
        for part in message.content
        if not isinstance(part, str)
    )
    schemas = [(tool.description, tool.parameters) for tool in request.tools]
    if request.schema is not None:
        schemas.append((request.schema.name, request.schema.schema))
    # The bytes of a file are no text to the model.
    return chars_of(request) - data_chars + (len(json.dumps(schemas)) if schemas else 0)
